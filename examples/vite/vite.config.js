import { defineConfig } from 'vite';

export default defineConfig({
  server: {
    host: '127.0.0.1',
    port: 5173,
    strictPort: true,
    // The page calls /paypack/... on its own origin, so no CORS is needed. Vite forwards the calls to Wakala.
    proxy: { '/paypack/': 'http://127.0.0.1:8080' },
  },
});
