-- The gateway's first filter: it sees requests as clients send them, and answers as they get them.
local SERVICE = "/hydro.serving.v1.PredictionService/"
-- Beginnings of content types: application/jsonl stands for application/jsonlines, too.
local NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}

local function is_ndjson(kind)
  for _, each in ipairs(NDJSON) do
    if kind:find(each, 1, true) == 1 then return true end
  end
  return false
end

-- What may be quiet between its messages for as long as it likes.
local function is_stream(path, kind)
  if kind:find("application/grpc", 1, true) == 1 then
    return path ~= SERVICE .. "Predict"
  end
  return is_ndjson(kind)
end

function envoy_on_request(handle)
  -- First: it answers, and nothing may follow an answer.
  if refuse_compressed(handle) then return end
  local headers = handle:headers()
  local path, kind = headers:get(":path") or "", headers:get("content-type") or ""
  local query = path:find("?", 1, true)
  if query then
    path = path:sub(1, query - 1)  -- it means nothing here, and must not set fields of messages
    headers:replace(":path", path)
  end
  if is_stream(path, kind:lower()) then
    mark_whole(handle)
  else
    headers:replace("x-hydro-answer", "whole")  -- see whole_answer.wat
    wait_for_body(handle)
  end
end

-- In HTTP/1.0 an answer that is cut looks like all that there is: it is held until all has come.
function envoy_on_response(handle)
  if handle:streamInfo():protocol() == "HTTP/1.0" then handle:body() end
end
