// Waits until the page no longer changes.

const QUIET_FRAMES = 10;

let pending = 0;

/** Counts pending requests. Call it before the first request. */
export function countRequests() {
  const original = window.fetch;
  window.fetch = async (...request) => {
    pending += 1;
    try {
      return await original(...request);
    } finally {
      pending -= 1;
    }
  };
}

/** Resolves once the theme's fonts are loaded: Grafana measures texts only once, before it draws them. */
export async function fontsLoaded(family: string) {
  const weights = [400, 500];
  const loaded = await Promise.all(weights.map((weight) => document.fonts.load(`${weight} 12px ${family}`)));
  if (loaded.some((faces) => faces.length === 0)) throw new Error(`there is no font ${family}`);
}

/** Resolves once fonts are loaded, no request is pending, and the page has not changed for some frames. */
export async function settled() {
  let quiet = 0;
  const observer = new MutationObserver(() => (quiet = 0));
  observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  while (quiet < QUIET_FRAMES) {
    await document.fonts.ready;
    await new Promise(requestAnimationFrame);
    quiet = pending === 0 && document.fonts.status === 'loaded' ? quiet + 1 : 0;
  }
  observer.disconnect();
}
