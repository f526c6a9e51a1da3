-- Comes before gateway.lua and edge.lua. From here on no limit of a client's body counts: Envoy looks
-- for the route anew, and finds one without. See `downstream`.
local function has_come(handle)
  handle:streamInfo():dynamicMetadata():set("hydro", "body", "whole")
  handle:clearRouteCache()
  handle:metadata()  -- of the route, for which Envoy looks now
end

local function wait_for_body(handle)
  for _ in handle:bodyChunks() do end
  has_come(handle)
end
