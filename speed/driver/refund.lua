-- Refunds for wrk: each request of another payment, under a key of its own. Arguments, after `--`:
--   spelling  how the face spells an id: uuid or ulid
--   start     number of the first refund: payments and keys follow from it
--   payments  how many there are; 0: no refunds, the same GET again and again
--   hot       so many refunds of one payment, then as many of another; 0: each is of another
--   path, body, and header lines, with {ID} where the payment's id belongs
-- At the end one line of JSON tells what wrk has measured. Ids are made as in speed/src/payment.rs.

local UUID = "01900000-0000-7000-8000-"
local ULID = "01J00000003G0080000000" -- overwritten by the driver, which can count to 2^128
local DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
local STRIDE = 7368787

local spelling, start, payments, hot, body_before, body_after, head_before, head_after
local n = 0

local function ulid(number)
  local digits = {}
  for place = 8, 1, -1 do
    local digit = number % 32
    digits[place] = DIGITS:sub(digit + 1, digit + 1)
    number = (number - digit) / 32
  end
  return ULID .. table.concat(digits)
end

local function id(number)
  if spelling == "ulid" then return ulid(number) end
  return UUID .. string.format("%012x", number)
end

local function split(text)
  local from, to = text:find("{ID}", 1, true)
  if not from then return text, nil end
  return text:sub(1, from - 1), text:sub(to + 1)
end

function init(args)
  spelling, ULID = args[1], args[2]
  start, payments, hot = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local lines = {}
  for at = 8, #args do lines[#lines + 1] = args[at] .. "\r\n" end
  local method = payments > 0 and "POST " or "GET "
  head_before, head_after = split(method .. args[6] .. " HTTP/1.1\r\nHost: localhost\r\n" .. table.concat(lines))
  body_before, body_after = split(args[7])
end

function request()
  if payments == 0 then return head_before .. "\r\n" end
  local number = start + n
  local place = hot > 0 and start + math.floor(n / hot) or number
  n = n + 1
  local payment = id((place * STRIDE) % payments)
  local body = body_after and (body_before .. payment .. body_after) or body_before
  local head = head_after and (head_before .. payment .. head_after) or head_before
  return head .. "Idempotency-Key: speed-" .. number .. "-" .. spelling ..
    "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"us":%d,"not_2xx":%d,"broken":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d}',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
