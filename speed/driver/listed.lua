-- Refunds for wrk, of payments that a file lists: each request of the next one, again and again.
-- Arguments, after `--`: the file, the path with {ID} where the payment's id belongs, the body, header lines.

local ids, n, headers = {}, 0, {}
local before, after, body

function init(args)
  for line in io.lines(args[1]) do ids[#ids + 1] = line end
  local from, to = args[2]:find("{ID}", 1, true)
  before, after = args[2]:sub(1, from - 1), args[2]:sub(to + 1)
  body = args[3]
  for at = 4, #args do
    local name, value = args[at]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
end

function request()
  n = n + 1
  return wrk.format("POST", before .. ids[(n - 1) % #ids + 1] .. after, headers, body)
end
