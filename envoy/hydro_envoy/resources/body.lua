-- Comes before gateway.lua and api_listener.lua. From here on no limit of a client's body counts: Envoy looks
-- for the route anew, and finds one without. See `downstream`.
local function mark_whole(handle)
  handle:streamInfo():dynamicMetadata():set("hydro", "body", "whole")
  handle:clearRouteCache()
  handle:metadata()  -- of the route, for which Envoy looks now
end

-- Refuses a body that is compressed: the transcoder would take it for JSON that is malformed. And
-- grpc-web, which Envoy's filters take for gRPC, and find neither methods nor messages in it.
local function refuse_compressed(handle)
  local headers = handle:headers()
  local coding = headers:get("content-encoding") or ""
  if coding ~= "" and coding:lower() ~= "identity" then
    handle:respond({
      [":status"] = "415", ["grpc-status"] = "12", ["accept-encoding"] = "identity",
      ["x-hydro-error-reason"] = "COMPRESSED",
    }, "got a body in the content-encoding '" .. coding:sub(1, 60) .. "', want it plain; "
      .. "switch compression off")
    return true
  end
  local kind = headers:get("content-type") or ""
  local rest = kind:lower():match("^application/grpc(.*)")
  if not rest or rest == "" or rest:find("^[+;]") then return false end
  handle:respond({[":status"] = "415", ["grpc-status"] = "12"},
    "got the content type '" .. kind:sub(1, 60) .. "', want application/grpc, or JSON at the paths "
    .. "of HTTP; put a proxy for grpc-web before this port")
  return true
end

local function wait_for_body(handle)
  -- Each turn waits for the next piece and lets the last one go on: nothing is held here.
  for _ in handle:bodyChunks() do end
  mark_whole(handle)
end
