// Says when nothing moves any more: only then is a page a picture.

const QUIET_FRAMES = 10;

let pending = 0;

/** Counts requests on their way; to be called before the first one. */
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

/** Resolves once the fonts of the theme are there: Grafana measures texts before it draws them, and only once. */
export async function fontsLoaded(family: string) {
  const weights = [400, 500];
  const loaded = await Promise.all(weights.map((weight) => document.fonts.load(`${weight} 12px ${family}`)));
  if (loaded.some((faces) => faces.length === 0)) throw new Error(`there is no font ${family}`);
}

/** Resolves once fonts are there, no request is on its way, and the page has not changed for some frames. */
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
