// The same task with fastify and prom-client: authenticates, parses a notification, detects duplicates and out-of-order
// events, updates the metrics that the exporter has for it, and exposes them. State is in memory only.
// Environment: PORT, SECRET, and optionally EXPOSITION, a file of samples to start with.

import { createHash, timingSafeEqual } from 'node:crypto'
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

const histogram = (name, buckets) => new client.Histogram({ name, help: name, buckets })
const delays = [1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 900, 3600]
const sourceDelay = histogram('cloudflare_stream_live_notification_source_delay_seconds', delays)
const deliveryDelay = histogram('cloudflare_stream_live_notification_delivery_delay_seconds', delays)
const reconnectDelay = histogram(prefix + 'reconnect_delay_seconds', [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600])
const sessionDuration = histogram(
  prefix + 'session_duration_seconds', [10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 604800])
const requestDuration = histogram(
  'stream_live_exporter_request_duration_seconds', [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5])
const own = (Kind, name, labelNames = []) => new Kind({ name: 'stream_live_exporter_' + name, help: name, labelNames })
const notifications = own(client.Counter, 'notifications_total', ['outcome'])
const outOfOrder = own(client.Counter, 'events_out_of_order_total')
const lastNotification = own(client.Gauge, 'last_notification_timestamp_seconds')
const secretLastUsed = own(client.Gauge, 'secret_last_used_timestamp_seconds', ['secret'])

const kinds = ['connected', 'disconnected', 'errored']
const codes = ['ERR_GOP_OUT_OF_RANGE', 'ERR_UNSUPPORTED_VIDEO_CODEC', 'ERR_UNSUPPORTED_AUDIO_CODEC',
  'ERR_STORAGE_QUOTA_EXHAUSTED', 'ERR_MISSING_SUBSCRIPTION', 'ERR_UNHEALTHY', 'other']
const maxIdentities = 4096
const reconnectWindow = 60
const inputs = new Map()

// Creates a series for each value of the closed labels at once.
function addInput(input_id) {
  const input = { connected: null, since: 0, began: 0, last: {}, identities: new Set() }
  inputs.set(input_id, input)
  expected.set({ input_id }, 0)
  info.set({ input_id, name: '' }, 1)
  for (const event of kinds) events.inc({ input_id, event }, 0)
  for (const event of kinds.slice(0, 2)) inconsistent.inc({ input_id, event }, 0)
  for (const code of codes) errors.inc({ input_id, code }, 0)
  for (const counter of [sessions, reconnects, connectedSeconds]) counter.inc({ input_id }, 0)
  return input
}

function apply({ data, ts }, now) {
  const { input_id, updated_at } = data
  const event = data.event_type.slice('live_input.'.length)
  const at = Date.parse(updated_at) / 1000
  if (!/^[0-9a-f]{32}$/.test(input_id) || !kinds.includes(event) || !(at < now + 300)) return 'ignored'
  const given = data.live_input_errored?.error?.code
  const input = inputs.get(input_id) ?? addInput(input_id)
  const identity = event + updated_at + (given ?? '')
  if (input.identities.has(identity)) return 'duplicate'
  input.identities.add(identity)
  if (input.identities.size > maxIdentities) input.identities.delete(input.identities.values().next().value)
  sourceDelay.observe(Math.max(0, ts - at))
  deliveryDelay.observe(Math.max(0, now - ts))
  events.inc({ input_id, event })
  if (!(input.last[event] >= at)) lastEvent.set({ input_id, event }, (input.last[event] = at))
  if (event === 'errored') {
    const code = codes.includes(given) ? given : 'other'
    errors.inc({ input_id, code })
    if (!(input.last[code] >= at)) lastError.set({ input_id, code }, (input.last[code] = at))
  } else if (at < input.since) {
    outOfOrder.inc()
  } else {
    change(input_id, input, event === 'connected', at, event)
  }
  return 'recorded'
}

function change(input_id, input, on, at, event) {
  const passed = at - input.since
  if (input.connected === on) inconsistent.inc({ input_id, event })
  else if (!on && input.connected) connectedSeconds.inc({ input_id }, passed)
  else if (on && input.connected === false) {
    if (passed <= 3600) reconnectDelay.observe(passed)
    if (passed <= reconnectWindow) reconnects.inc({ input_id })
    else sessionDuration.observe(input.since - input.began)
  }
  if (on && !(input.connected === false && passed <= reconnectWindow) && input.connected !== true) {
    sessions.inc({ input_id })
    input.began = at
  }
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
const digest = (text) => createHash('sha256').update(text).digest()
const secret = digest(process.env.SECRET)

server.post('/webhook', (request, reply) => {
  const began = performance.now()
  if (!timingSafeEqual(digest(request.headers['cf-webhook-auth'] ?? ''), secret)) return reply.code(401).send()
  const now = Date.now() / 1000
  const outcome = apply(request.body, now)
  notifications.inc({ outcome })
  lastNotification.set(now)
  secretLastUsed.set({ secret: 'default' }, now)
  reply.header('content-type', 'application/json').send(`{"outcome":"${outcome}"}`)
  requestDuration.observe((performance.now() - began) / 1000)
})

server.get('/metrics', async (request, reply) => {
  reply.header('content-type', client.register.contentType)
  return client.register.metrics()
})

await server.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
