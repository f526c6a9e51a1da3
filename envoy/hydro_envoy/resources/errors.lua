-- Gives every error that leaves Envoy the one form, whoever made it: a runtime, a service, or Envoy
-- itself. gRPC clients get google.rpc.Status with an ErrorInfo, HTTP clients the same as JSON; see
-- hydro_services.errors, which knows the form for Python. What Envoy answers itself comes with
-- headers `x-hydro-error-<fact>` (see headers.py), which end here.
local PREFIX = "x-hydro-error-"
local DOMAIN = "hydro"
local TYPES = "type.googleapis.com/google.rpc."
local UNKNOWN, EXHAUSTED, TOO_LARGE = 2, 8, "TOO_LARGE"
local MAX_TEXT = 2048 -- of a message in bytes: it is twice in the trailers of gRPC

local NAMES = {
  [0] = "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
  "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
-- The code of what is told by HTTP's status alone; others are UNKNOWN.
local CODES = {
  [400] = 3, [401] = 16, [403] = 7, [404] = 5, [405] = 12, [408] = 4, [409] = 10, [411] = 3,
  [413] = 8, [414] = 8, [415] = 3, [416] = 11, [426] = 12, [429] = 8, [431] = 8, [499] = 1,
  [500] = 13, [501] = 12, [502] = 14, [503] = 14, [504] = 4, [505] = 12, [507] = 8,
}
-- The reason of a code where nobody gave another: the name, but for these.
local REASONS = {[4] = "NOT_IN_TIME", [413] = TOO_LARGE, [414] = TOO_LARGE, [431] = TOO_LARGE}

-- The text with U+FFFD in place of what is not UTF-8: protobuf's strings and JSON's hold no other.
local function utf8(text)
  if not text:find("[\128-\255]") then return text end
  local found, at, size = {}, 1, #text
  while at <= size do
    -- The table of well-formed sequences of the Unicode standard (3-7): no surrogates, nothing
    -- above U+10FFFF, no form that is longer than need be.
    local first = text:byte(at)
    local length = first < 128 and 1 or first >= 194 and first < 224 and 2
      or first >= 224 and first < 240 and 3 or first >= 240 and first < 245 and 4 or 0
    local second = text:byte(at + 1) or 0
    local low = first == 224 and 160 or first == 240 and 144 or 128
    local high = first == 237 and 159 or first == 244 and 143 or 191
    local well = length > 0 and (length == 1 or second >= low and second <= high)
      and (length < 3 or text:find("^[\128-\191]", at + 2))
      and (length < 4 or text:find("^[\128-\191]", at + 3))
    found[#found + 1] = well and text:sub(at, at + length - 1) or "\239\191\189"
    at = at + (well and length or 1)
  end
  return table.concat(found)
end

local function percent_decode(text) -- what percents stand for in grpc-message
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function percent_encode(text) -- the inverse
  return (text:gsub("[^ -$&-~]", function(byte) return string.format("%%%02X", byte:byte()) end))
end

-- JSON

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function json(text)
  return '"' .. text:gsub('[%c"\\]', function(found)
    return ESCAPES[found] or string.format("\\u%04x", found:byte())
  end) .. '"'
end

local function json_details(error)
  local facts = {}
  for _, name in ipairs(error.names) do
    facts[#facts + 1] = json(name) .. ":" .. json(error.facts[name])
  end
  local found = {
    '{"@type":' .. json(TYPES .. "ErrorInfo") .. ',"reason":' .. json(error.reason)
      .. ',"domain":' .. json(DOMAIN) .. ',"metadata":{' .. table.concat(facts, ",") .. "}}",
  }
  if error.wait then
    found[#found + 1] = '{"@type":' .. json(TYPES .. "RetryInfo") .. ',"retryDelay":'
      .. json(string.format("%.9f", error.wait):gsub("%.?0+$", "") .. "s") .. "}"
  end
  if error.request_id then
    found[#found + 1] = '{"@type":' .. json(TYPES .. "RequestInfo") .. ',"requestId":'
      .. json(error.request_id) .. ',"servingData":""}'
  end
  return "[" .. table.concat(found, ",") .. "]"
end

-- `message` and `details` are JSON already.
local function json_body(error, message, details)
  return '{"code":' .. error.code .. ',"status":' .. json(NAMES[error.code] or NAMES[UNKNOWN])
    .. ',"reason":' .. json(error.reason) .. ',"message":' .. message .. ',"details":' .. details
    .. ',"request_id":' .. json(error.request_id or "") .. "}"
end

-- Protocol Buffers

-- Base 128, the lowest digits first. By division: numbers here may exceed the 32 bits of `bit`.
local function varint(number)
  local found = {}
  while number >= 128 do
    found[#found + 1] = string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return table.concat(found) .. string.char(number)
end

local function field(number, bytes) return varint(number * 8 + 2) .. varint(#bytes) .. bytes end
local function int_field(number, value) return varint(number * 8) .. varint(value) end
local function any(kind, bytes) return field(1, TYPES .. kind) .. field(2, bytes) end

local function status_bytes(error)
  local info = field(1, error.reason) .. field(2, DOMAIN)
  for _, name in ipairs(error.names) do
    info = info .. field(3, field(1, name) .. field(2, error.facts[name]))
  end
  local found = int_field(1, error.code) .. field(2, error.message)
    .. field(3, any("ErrorInfo", info))
  if error.wait then
    local seconds = math.floor(error.wait)
    local nanos = math.floor((error.wait - seconds) * 1e9 + 0.5)
    local delay = int_field(1, seconds) .. int_field(2, nanos)
    found = found .. field(3, any("RetryInfo", field(1, delay)))
  end
  if error.request_id then
    found = found .. field(3, any("RequestInfo", field(1, error.request_id)))
  end
  return found
end

-- What Envoy's own reply says of itself in headers, which are taken away.
-- Names first, removed afterwards: the headers must not change while they are walked through.
local function take_facts(headers)
  local facts, names = {}, {}
  for name, value in pairs(headers) do
    if name:sub(1, #PREFIX) == PREFIX then
      names[#names + 1] = name
      facts[name:sub(#PREFIX + 1)] = utf8(value)
    end
  end
  for _, name in ipairs(names) do headers:remove(name) end
  return facts
end

-- Of a JSON list of texts without quotes in them.
local function parse_list(texts)
  local found = {}
  for text in (texts or ""):gmatch('"([^"]*)"') do found[#found + 1] = text end
  return found
end

-- The place of the stage whose call ended with a status, by Envoy's notes of calls of all stages.
local function failed_stage(calls)
  -- The last stage that was called, if none has a status: it is the one that was waited for.
  local place, last = 0, 0
  for call in calls:gmatch("([^;]*);") do
    place = place + 1
    if call ~= "" then last = place end
    for _, form in ipairs({"os:(%d+)", "r[ht]:%d+:(%d+)", "rb:%d+:%d+:(%d+)"}) do
      if (call:match(form) or "0") ~= "0" then return place end
    end
  end
  return last
end

-- Of all stages of a chain the one that is meant, and the limit of its circuit breaker.
local function choose_stage(facts)
  local stages, limits = parse_list(facts.stages), parse_list(facts.limits)
  local place = facts.calls and failed_stage(facts.calls) or #stages
  facts.stage, facts.limit = stages[place], limits[place] or facts.limit
  facts.stages, facts.limits, facts.calls = nil, nil, nil
end

-- The text with the stage and the limit in it; `quote` makes them fit for it.
local function fill_in(text, facts, quote)
  local words = {stage = facts.stage and "stage " .. facts.stage or "a stage", limit = facts.limit}
  return (text:gsub("{(%l+)}", function(name) return words[name] and quote(words[name]) end))
end

-- Why, where nobody said it.
local function default_reason(code, status, text)
  local is_large = code == EXHAUSTED and text:find("larger than max", 1, true) -- gRPC's own words
  return is_large and TOO_LARGE or REASONS[status] or REASONS[code] or NAMES[code] or NAMES[UNKNOWN]
end

-- Whatever can be known of an error: its facts, sorted, its code and reason, and the request's id.
local function describe_error(headers, code, text, status)
  local facts, names = take_facts(headers), {}
  local has_stages = facts.stages ~= nil
  if has_stages then choose_stage(facts) end
  local reason, wait = facts.reason, tonumber(facts.wait_s)
  facts.reason, facts.text = nil, nil
  for name, value in pairs(facts) do
    if value ~= "" then names[#names + 1] = name end
  end
  table.sort(names)
  return {
    code = code,
    reason = reason or default_reason(code, status, text),
    facts = facts,
    names = names,
    has_stages = has_stages,
    wait = wait,
    request_id = headers:get("x-request-id"),
  }
end

local function on_grpc(handle, headers, code)
  -- A runtime or a service has given the form already; for HTTP the transcoder has turned it into
  -- JSON.
  if headers:get("grpc-status-details-bin") then return end
  local message = utf8(percent_decode(headers:get("grpc-message") or ""):sub(1, MAX_TEXT))
  local error = describe_error(headers, code, message)
  if error.has_stages then
    message = fill_in(message, error.facts, tostring)
    headers:replace("grpc-message", percent_encode(message))
  end
  error.message = message
  headers:replace("grpc-status-details-bin", handle:base64Escape(status_bytes(error)))
end

local TRANSCODED = '^{"code":(%d+),"message":(".-"),"details":(%[.*%])}%s*$'

local function on_http(handle, status)
  local grpc = handle:headers():get("grpc-status")
  -- Waits until the body has come. Headers that were taken before this are not valid any more.
  local body = handle:body(grpc ~= nil) -- one to be filled where the transcoder gave none
  local headers = handle:headers() -- those from before the body are gone
  local text = body and body:getBytes(0, body:length()) or ""
  -- The transcoder writes no JSON where a text of the status is not UTF-8.
  if text == "" then text = percent_decode(headers:get("grpc-message") or "") end
  local code, message, details = text:match(TRANSCODED)
  code = tonumber(code or grpc or CODES[status] or UNKNOWN)
  local error = describe_error(headers, code, text, status)
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  if message == nil then
    message = json(utf8(text:gsub("^: ", ""):sub(1, MAX_TEXT)))
  end
  if error.has_stages then
    message = fill_in(message, error.facts, function(fact) return json(fact):sub(2, -2) end)
  end
  if details and details ~= "[]" then
    error.reason = details:match('"reason":"([^"]*)"') or error.reason
  else
    details = json_details(error)
  end
  -- gRPC has one code, RESOURCE_EXHAUSTED, for too many requests and for too large a message.
  if error.reason == TOO_LARGE and status == 429 then headers:replace(":status", "413") end
  headers:replace("content-type", "application/json")
  if body == nil then -- the answer to HEAD
    headers:remove("content-length")
    return
  end
  local answer = json_body(error, message, details)
  -- The length of what was there would cut the new body off, or have the client wait for more.
  headers:replace("content-length", tostring(body:setBytes(answer)))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status, code = tonumber(headers:get(":status")), headers:get("grpc-status")
  if status >= 400 then
    on_http(handle, status)
  elseif code and code ~= "0" then
    on_grpc(handle, headers, tonumber(code) or UNKNOWN)
  end
end
