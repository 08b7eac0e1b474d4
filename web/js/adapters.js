/** The adapters of this browser, described; none without WebGPU. */
export async function adapters() {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter({
    powerPreference: "high-performance",
  });
  if (!adapter) return [];
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  // The names are getters of the prototype.
  const limits = {};
  for (const name in adapter.limits) limits[name] = adapter.limits[name];
  return [
    {
      name: description || device || [vendor, architecture].filter(Boolean).join(" ") || "WebGPU",
      backend: "webgpu",
      driver: "",
      type: isFallbackAdapter ? "cpu" : "gpu",
      software: isFallbackAdapter,
      vendor,
      architecture,
      limits,
      features: [...adapter.features].sort(),
    },
  ];
}

/** The name of the first adapter. */
export async function adapterName() {
  return (await adapters())[0]?.name;
}
