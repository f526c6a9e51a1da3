-- Lets through who has the admin key, and says so in the header x-hydro-caller. Only the hash of
-- the key is known here. Comes after sha256.lua and bearer.lua, before the line that sets ADMIN.
local MAX_KEY = 128

function envoy_on_request(handle)
  local headers = handle:headers()
  local key = bearer(headers)
  if key and #key <= MAX_KEY and sha256(key) == ADMIN then
    headers:replace("x-hydro-caller", "admin")
    return
  end
  local text = "want the mesh's admin key in the header authorization: Bearer"
  if key then text = "this is not the admin key; " .. text end
  handle:respond({[":status"] = "401", ["www-authenticate"] = 'Bearer realm="hydro admin"'}, text)
end
