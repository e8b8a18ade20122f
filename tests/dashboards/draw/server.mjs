// @ts-check
// Serves the drawing page on loopback: the page, Grafana's icons and font, the dashboards, and Prometheus' API.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('..', import.meta.url));

/** @type {Record<string, string>} */
const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/**
 * @typedef {object} Sources
 * @property {(name: string) => string | undefined} dashboard returns a dashboard's JSON by its file name
 * @property {URL} prometheus
 */

/**
 * Starts on a free port.
 *
 * @param {Sources} sources
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export async function serve({ dashboard, prometheus }) {
  // Paths that Grafana's components request, and the folders of its packages with these files.
  const folders = [
    { at: '/public/build/img/', folder: join(home, 'node_modules/@grafana/ui/dist/public/img') },
    { at: '/public/fonts/inter/', folder: join(home, 'node_modules/inter-ui/web') },
    { at: '/', folder: join(home, 'build/page') },
  ];

  const server = createServer((incoming, response) => {
    const { pathname, search } = new URL(incoming.url ?? '/', 'http://localhost');
    if (pathname.startsWith('/api/v1/')) {
      forward(new URL(pathname + search, prometheus), response);
      return;
    }
    const name = /^\/dashboards\/([\w-]+\.json)$/.exec(pathname)?.[1];
    const json = name && dashboard(name);
    if (json) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(json);
      return;
    }
    const place = folders.find(({ at }) => pathname.startsWith(at));
    const file =
      place &&
      join(place.folder, normalize('/' + pathname.slice(place.at.length)), pathname === '/' ? 'index.html' : '');
    send(file, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** @param {string | undefined} file @param {import('node:http').ServerResponse} response */
function send(file, response) {
  if (!file || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
}

/** @param {URL} url @param {import('node:http').ServerResponse} response */
function forward(url, response) {
  const asked = request(url, (answer) => {
    response.writeHead(answer.statusCode ?? 502, { 'content-type': 'application/json' });
    answer.pipe(response);
  });
  asked.on('error', (error) => response.writeHead(502).end(JSON.stringify({ status: 'error', error: error.message })));
  asked.end();
}
