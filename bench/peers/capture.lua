-- Captures both bodies of each call in nginx and posts the records in batches as NDJSON over
-- kept-alive cosockets. What waits is bounded and in memory: a restart loses it.
local cjson = require "cjson.safe"
local new_tab = require "table.new"
local ngx, concat = ngx, table.concat

local M = {}

local max_records = 100
local max_batch = 8 * 1024 * 1024
local max_waiting = 256 * 1024 * 1024 -- bytes in one worker; what comes beyond is dropped
local max_senders = 4

local queue, first, last, waiting, senders = {}, 1, 0, 0, 0
local host, port

function M.request()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if not body then
    local name = ngx.req.get_body_file()
    if name then
      local f = io.open(name, "rb")
      if f then
        body = f:read("*a")
        f:close()
      end
    end
  end
  ngx.ctx.body = body
end

function M.response()
  local ctx, chunk = ngx.ctx, ngx.arg[1]
  if chunk == "" then return end
  local parts = ctx.parts
  if not parts then
    ctx.parts, ctx.n = { chunk }, 1
  else
    local n = ctx.n + 1
    parts[n], ctx.n = chunk, n
  end
end

local function batch()
  local lines, n, size = new_tab(max_records, 0), 0, 0
  while first <= last and n < max_records and size < max_batch do
    local line = queue[first]
    queue[first] = nil
    first = first + 1
    n, size = n + 1, size + #line
    lines[n] = line
  end
  waiting = waiting - size
  return lines, n
end

local function post(lines)
  local body = concat(lines)
  for _ = 1, 5 do
    local sock = ngx.socket.tcp()
    sock:settimeouts(1000, 10000, 10000)
    if sock:connect(host, port) then
      local sent = sock:send { "POST /in HTTP/1.1\r\nHost: sink\r\nContent-Type: application/x-ndjson\r\nContent-Length: ", #body, "\r\n\r\n", body }
      local status = sent and sock:receive("*l")
      if status and status:find("^HTTP/1.1 2") then
        repeat local line = sock:receive("*l") until not line or line == ""
        sock:setkeepalive(60000, 16)
        return
      end
      sock:close()
    end
    ngx.sleep(0.1)
  end
end

local function send()
  while first <= last do
    post((batch()))
  end
  senders = senders - 1
end

local function wake()
  if first <= last and senders < max_senders then
    senders = senders + 1
    if not ngx.timer.at(0, send) then senders = senders - 1 end
  end
end

function M.done()
  local ctx = ngx.ctx
  local parts = ctx.parts
  local line = cjson.encode {
    time = ngx.req.start_time(),
    method = ngx.req.get_method(),
    path = ngx.var.uri,
    query = ngx.var.args,
    status = ngx.status,
    client_ip = ngx.var.remote_addr,
    request_headers = ngx.req.get_headers(100),
    body = ctx.body or cjson.null,
    response_headers = ngx.resp.get_headers(100),
    response = parts and (ctx.n == 1 and parts[1] or concat(parts)) or cjson.null,
  }
  if not line or waiting + #line > max_waiting then return end
  line = line .. "\n"
  last = last + 1
  queue[last] = line
  waiting = waiting + #line
  if last - first + 1 >= max_records then wake() end
end

function M.start(h, p)
  host, port = h, p
  ngx.timer.every(0.1, wake)
end

return M
