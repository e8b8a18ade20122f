// @ts-check
// Builds the drawing page. types/check.mjs checks the types; here they are only removed.
import { defineConfig } from 'vite';

// Directives in Grafana's dependencies for other tools; they have no effect here.
const IDLE_WARNINGS = ['MODULE_LEVEL_DIRECTIVE', 'INVALID_ANNOTATION'];

export default defineConfig({
  root: 'renderer',
  logLevel: 'warn',
  esbuild: { jsx: 'automatic' },
  build: {
    outDir: '../build/page',
    emptyOutDir: true,
    target: 'es2022',
    // The page is only served on loopback: build time matters, not size.
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
