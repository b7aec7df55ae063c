// ONNX Runtime Web: WebAssembly, or the graphics processor (WebGPU) where it gives the same answer sooner.

const TRIES = 3, SAME = 0.01;  // of a value, or of 1 if that is more

// wanted: "wasm", "webgpu", or null for the faster one.
// -> async (name of the file, dims of a usual input) => {engine, run: {data: float32, dims} -> outputs by name}
export async function opener(wanted) {
    const gpu = await hasGraphics(wanted);
    const ort = await import(gpu ? "./runtime/ort.jspi.min.mjs" : "./runtime/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("runtime/", import.meta.url).href;
    ort.env.wasm.numThreads = 1;
    const open = async (name, engine) => {
        const session = await ort.InferenceSession.create(
            new URL(name, import.meta.url).href, {executionProviders: [engine]});
        const run = ({data, dims}) => session.run({[session.inputNames[0]]: new ort.Tensor("float32", data, dims)});
        return {engine, run};
    };
    return async (name, dims) => {
        const wasm = await open(name, "wasm");
        return gpu ? better(wasm, () => open(name, "webgpu"), dims, wanted) : wasm;
    };
}

// The runtime's smaller build for WebGPU needs JSPI. An adapter in software is the processor again, and slower.
async function hasGraphics(wanted) {
    if (wanted === "wasm" || !("Suspending" in WebAssembly)) return false;
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    return Boolean(adapter) && (wanted === "webgpu" || !adapter.info.isFallbackAdapter);
}

export async function better(wasm, openOther, dims, wanted) {
    const length = dims.reduce((a, b) => a * b), data = Float32Array.from({length}, (_, i) => Math.sin(i));
    try {
        const webgpu = await openOther();
        const [known, found] = [await timed(wasm, {data, dims}), await timed(webgpu, {data, dims})];
        if (!same(known.outputs, found.outputs)) throw Error("other answers than WebAssembly's");
        return wanted || found.time < known.time ? withSubstitute(webgpu, wasm) : wasm;
    } catch (error) {
        console.warn(`Not on WebGPU: ${error.message}`);
        return wasm;
    }
}

async function timed({run}, input) {
    let outputs = await run(input), time = Infinity;  // the first run compiles
    for (let i = 0; i < TRIES; i++) {
        const start = performance.now();
        outputs = await run(input);
        time = Math.min(time, performance.now() - start);
    }
    return {outputs, time};
}

const same = (known, found) => Object.keys(known).every(name =>
    known[name].data.every((value, i) => Math.abs(value - found[name].data[i]) <= SAME * Math.max(1, Math.abs(value))));

// Browsers take the graphics processor away, from a page out of sight for one.
const withSubstitute = ({engine, run}, substitute) => ({engine, run: input => run(input).catch(error => {
    console.warn(`WebGPU is gone: ${error.message}`);
    return substitute.run(input);
})});
