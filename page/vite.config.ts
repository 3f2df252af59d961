import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const OUT = '../unrolled/page/built';

/** Everything that the built page follows from, in the order of its names: tests/test_studio_built.py computes the same. */
function stamp(): string {
  const files = [
    ...readdirSync('src', { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative('.', join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
    'index.html',
    'package-lock.json',
    'vite.config.ts',
  ].sort();
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

export default defineConfig({
  plugins: [
    svelte(),
    {
      name: 'stamp',
      closeBundle() {
        writeFileSync(join(OUT, 'stamp.txt'), `${stamp()}\n`);
      },
    },
  ],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app.[ext]', codeSplitting: false },
    },
  },
});
