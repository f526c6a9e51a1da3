-- What a header says of who calls: nil where there is none. Envoy gives the values of a header that
-- comes twice with a comma between them, which is in no key and no token: then nobody is named.
local function trim(value)
  return value and value:match("^%s*(.-)%s*$")
end

-- The credentials of `authorization: Bearer ...`; the scheme has no case (RFC 9110, section 11.1).
local function bearer(headers)
  local scheme, found = (trim(headers:get("authorization")) or ""):match("^(%a+)%s+(%S+)$")
  return scheme and scheme:lower() == "bearer" and found or nil
end
