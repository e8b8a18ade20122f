// @ts-check
// Arguments of the browser: no sandbox, because tests may run as root, and no traffic of its own.
export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Same text rendering on every machine, independent of the system's hinting.
  '--font-render-hinting=none',
  '--force-color-profile=srgb',
];
