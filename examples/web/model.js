// The shipped model, and the texts that the native program writes with it.

const NAME = "shakespeare.safetensors";

let loading;

/** The bytes of the shipped model and its name. A failed load is tried again. */
export function shipped() {
  loading ??= (async () => {
    const response = await fetch(`models/${NAME}`);
    if (!response.ok) throw new Error(`${NAME} did not load: status ${response.status}`);
    return { name: NAME, bytes: new Uint8Array(await response.arrayBuffer()) };
  })();
  loading.catch(() => { loading = undefined; });
  return loading;
}

/**
 * The settings whose text is known: `{ prompt, temperature, seed, tokens }`. `tests/web/native.mjs`
 * writes the file with the native program.
 */
export const known = fetch("expected.json").then((response) => {
  if (!response.ok) throw new Error(`expected.json did not load: status ${response.status}`);
  return response.json();
});

/** The native tokens of these settings; undefined if they are not known. */
export async function nativeTokens({ prompt, temperature, seed }) {
  const same = (one) => one.prompt === prompt && one.temperature === temperature
    // Greedy text does not depend on the seed.
    && (one.seed === seed || temperature === 0);
  return (await known).find(same)?.tokens;
}

/** The first place where two lists of tokens differ; -1 if one is the beginning of the other. */
export function difference(one, other) {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at += 1) if (one[at] !== other[at]) return at;
  return -1;
}
