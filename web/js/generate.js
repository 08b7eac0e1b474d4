/**
 * Iterates over a text that is being generated.
 *
 * `start` returns the text, whose `chunk()` resolves to the tokens that arrive together. Leaving a
 * loop early frees it.
 */
export async function* generate(start, options) {
  const { signal, ...others } = options ?? {};
  signal?.throwIfAborted();
  const text = await start(others);
  try {
    for (;;) {
      const tokens = await text.chunk();
      if (tokens.length === 0) return;
      for (const token of tokens) {
        signal?.throwIfAborted();
        yield token;
      }
    }
  } finally {
    text.free();
  }
}
