// The same job with fastify and prom-client: receives notifications, updates the families of every input in memory,
// exposes them. Not durable. PORT, SECRET, and optionally EXPOSITION: a file of samples to begin with.

import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import client from 'prom-client'

const prefix = 'cloudflare_stream_live_input_'
const families = new Map()

function family(name, labels) {
  if (!families.has(name)) {
    const Kind = name.endsWith('_total') ? client.Counter : client.Gauge
    families.set(name, new Kind({ name, help: name, labelNames: ['input_id', ...labels] }))
  }
  return families.get(name)
}

const connected = family(prefix + 'connected', [])
const stateTimestamp = family(prefix + 'state_timestamp_seconds', [])
const expected = family(prefix + 'expected', [])
const events = family(prefix + 'events_total', ['event'])
const errors = family(prefix + 'errors_total', ['code'])
const lastEvent = family(prefix + 'last_event_timestamp_seconds', ['event'])
const lastError = family(prefix + 'last_error_timestamp_seconds', ['code'])
const sessions = family(prefix + 'sessions_total', [])
const reconnects = family(prefix + 'reconnects_total', [])
const connectedSeconds = family(prefix + 'connected_seconds_total', [])
const inconsistent = family(prefix + 'inconsistent_events_total', ['event'])
const info = family(prefix + 'info', ['name'])

const inputs = new Map()

function apply(data) {
  const input_id = data.input_id
  const event = data.event_type.slice('live_input.'.length)
  const at = Date.parse(data.updated_at) / 1000
  let input = inputs.get(input_id)
  if (!input) {
    input = { connected: null, since: 0 }
    inputs.set(input_id, input)
    expected.set({ input_id }, 0)
    info.set({ input_id, name: '' }, 1)
  }
  events.inc({ input_id, event })
  lastEvent.set({ input_id, event }, at)
  if (event === 'errored') {
    const code = data.live_input_errored?.error?.code ?? 'other'
    errors.inc({ input_id, code })
    lastError.set({ input_id, code }, at)
    return
  }
  const on = event === 'connected'
  if (input.connected === on) inconsistent.inc({ input_id, event })
  else if (!on && input.connected) connectedSeconds.inc({ input_id }, Math.max(0, at - input.since))
  else if (on && input.connected === false && at - input.since < 60) reconnects.inc({ input_id })
  else if (on) sessions.inc({ input_id })
  input.connected = on
  input.since = at
  connected.set({ input_id }, on ? 1 : 0)
  stateTimestamp.set({ input_id }, at)
}

function load(file) {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const sample = /^([a-z_]+)\{(.*)\} (.*)$/.exec(line)
    if (!sample || !sample[1].startsWith(prefix) || !sample[2].startsWith('input_id=')) continue
    const labels = Object.fromEntries([...sample[2].matchAll(/([a-z_]+)="([^"]*)"/g)].map((pair) => pair.slice(1)))
    const metric = family(sample[1], Object.keys(labels).slice(1))
    if (metric instanceof client.Counter) metric.inc(labels, Number(sample[3]))
    else metric.set(labels, Number(sample[3]))
  }
}

if (process.env.EXPOSITION) load(process.env.EXPOSITION)

const server = Fastify({ logger: false, keepAliveTimeout: 600000 })
const secret = process.env.SECRET

server.post('/webhook', (request, reply) => {
  if (request.headers['cf-webhook-auth'] !== secret) return reply.code(401).send()
  apply(request.body.data)
  reply.header('content-type', 'application/json').send('{"outcome":"recorded"}')
})

server.get('/metrics', async (request, reply) => {
  reply.header('content-type', client.register.contentType)
  return client.register.metrics()
})

await server.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
