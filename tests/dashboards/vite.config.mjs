// @ts-check
// Builds the page that draws. TypeScript is checked by types/check.mjs; here it is only taken away.
import { defineConfig } from 'vite';

// What Grafana's dependencies say to other tools; it changes nothing here.
const IDLE_WARNINGS = ['MODULE_LEVEL_DIRECTIVE', 'INVALID_ANNOTATION'];

export default defineConfig({
  root: 'renderer',
  logLevel: 'warn',
  esbuild: { jsx: 'automatic' },
  build: {
    outDir: '../build/page',
    emptyOutDir: true,
    target: 'es2022',
    // Nobody downloads it: it is to be built quickly, not to be small.
    minify: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 100_000,
    rollupOptions: {
      onwarn: (warning, warn) => {
        if (!IDLE_WARNINGS.includes(warning.code ?? '')) warn(warning);
      },
    },
  },
});
