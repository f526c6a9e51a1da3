-- Hands the token of a request on to jwt_authn, which would take `Bearer ` in this case alone, and
-- anywhere in the header. Comes after bearer.lua.
local TOKEN = "x-hydro-bearer"

function envoy_on_request(handle)
  local headers = handle:headers()
  local token = bearer(headers)
  headers:remove(TOKEN)
  if token then headers:replace(TOKEN, token) end
end
