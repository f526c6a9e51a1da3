-- Names who calls a pipeline: sets the header x-hydro-caller to `key/<name>` or `jwt/<subject>`, or
-- refuses. Only hashes of keys are known here; a hash of a key of 256 random bits can be looked up
-- as it is, since what its time tells of it is of no use. What is wanted comes from the pipeline's
-- policy route; the tokens were verified by Envoy's jwt_authn. Comes after sha256.lua and bearer.lua.
local HEADER, TOKEN, CALLER = "x-api-key", "x-hydro-bearer", "x-hydro-caller"
local MAX_KEY, MAX_SUBJECT = 128, 255
-- Others are made for other ends, such as `logout+jwt` (RFC 8725, section 3.11).
local TYPES = {jwt = true, ["at+jwt"] = true}
local KEYS = {}

-- Lines of SHA-256, caller, when it ends (s since 1970; 0: never) and `,pipeline,...,` (or `*`).
function keys(lines)
  for hash, rest in lines:gmatch("(%x+) ([^\n]+)\n") do
    KEYS[hash] = rest
  end
end

local function list_has(list, name)
  return list == "*" or list:find("," .. name .. ",", 1, true) ~= nil
end

local function find_key(headers)
  return trim(headers:get(HEADER)) or (bearer(headers) or ""):match("^hydro_[%w_-]+$")
end

-- The caller; or nil, an HTTP status and a reason. So does the next.
local function caller_by_key(key, wanted, now)
  -- Its length first: hashing is done in Lua, on the thread that serves all others.
  local found = #key <= MAX_KEY and KEYS[sha256(key)]
  if not found then
    return nil, "401", "this key is not known"
  end
  local caller, ends, pipelines = found:match("(%S+) (%d+) (%S+)")
  if ends ~= "0" and tonumber(ends) <= now then
    return nil, "401", "this key has expired"
  elseif not (list_has(pipelines, wanted:get("pipeline")) and list_has(wanted:get("callers"), caller)) then
    return nil, "403", "this key is for others"
  end
  return "key/" .. caller
end

local function claim_has(claim, value)
  if type(claim) == "table" then
    for _, each in ipairs(claim) do
      if tostring(each) == value then return true end
    end
    return false
  end
  -- A claim such as `scope` is a text of words with spaces between them: RFC 8693, section 4.2.
  local words = type(claim) == "string" and " " .. claim .. " " or ""
  return tostring(claim) == value or words:find(" " .. value .. " ", 1, true) ~= nil
end

-- What a right signature does not tell: RFC 7515, section 4.1.11, and RFC 7519, section 5.1.
local function header_fault(header)
  if header.crit ~= nil then
    return "this token wants what is not understood: crit"
  elseif header.typ == nil then
    return nil
  end
  local kind = type(header.typ) == "string" and header.typ:lower():gsub("^application/", "")
  return not TYPES[kind] and "this token is of another typ, want JWT or at+jwt" or nil
end

local function caller_by_token(checked, claims)
  local token = checked.payload
  if not token then
    -- Envoy tells the reason as a text alone; a wrong audience is the one that is no fault of the
    -- token.
    local why = checked.failed and checked.failed.message or "Jwt is missing"
    return nil, why:find("Audience") and "403" or "401", why ~= "Jwt is missing" and why or nil
  end
  local wrong = header_fault(checked.header or {})
  if wrong then
    return nil, "401", wrong
  end
  for name, value in pairs(claims) do
    if not claim_has(token[name], value) then
      return nil, "403", "this token's claim " .. name .. " has not " .. value
    end
  end
  -- It becomes a header: what a header cannot carry, and the percent itself, are escaped.
  local subject = tostring(token.sub or ""):gsub("[^!-$&-~]", function(byte)
    return string.format("%%%02X", byte:byte())
  end)
  if #subject > MAX_SUBJECT then
    return nil, "403", "this token's claim sub has more than " .. MAX_SUBJECT .. " bytes"
  end
  return "jwt/" .. subject
end

local function find_caller(handle, headers, wanted)
  local key, caller = wanted:get("callers") and find_key(headers), nil
  local status, reason = "401", nil
  if key then
    caller, status, reason = caller_by_key(key, wanted, handle:timestamp() / 1000)
  end
  if caller or not wanted:get("claims") then
    return caller, status, reason
  end
  local checked = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn") or {}
  local subject, token_status, token_reason = caller_by_token(checked, wanted:get("claims"))
  -- A good token that may not do this says more than a missing or wrong key.
  if subject or token_status == "403" then
    return subject, token_status, token_reason
  end
  return nil, status, reason or token_reason
end

function envoy_on_request(handle)
  local headers, wanted = handle:headers(), handle:filterContext()
  local caller, status, reason = find_caller(handle, headers, wanted)
  -- Removed for good: no stage and no log sees what a caller has shown.
  headers:remove(HEADER)
  headers:remove("authorization")
  headers:remove(TOKEN)
  if caller then
    headers:replace(CALLER, caller)
    return
  end
  local text = (reason and reason .. "; " or "") .. wanted:get("wants")
  handle:respond({
    [":status"] = status,
    ["www-authenticate"] = 'Bearer realm="hydro"',
    ["x-hydro-error-pipeline"] = wanted:get("pipeline"),
  }, text)
end
