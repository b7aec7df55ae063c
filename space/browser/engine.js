// ONNX Runtime Web: WebAssembly, or the graphics processor (WebGPU) where it gives the same answer sooner.

const TRIES = 3, LONGEST = 1000;  // ms
const SAME = 0.01;  // of a value, or of 1 if that is more

// wanted: "wasm", "webgpu", or undefined for the faster one.
// -> async (name of the file, dims of a usual input, its largest value)
//    => {engine, run: {data: float32, dims} -> outputs by name, release}
export async function opener(wanted) {
    const gpu = await hasGraphics(wanted);
    const ort = await import(gpu ? "./runtime/ort.jspi.min.mjs" : "./runtime/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("runtime/", import.meta.url).href;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";  // not how it divides a network among processors
    const open = async (name, engine) => {
        const session = await ort.InferenceSession.create(
            new URL(name, import.meta.url).href, {executionProviders: [engine]});
        const run = ({data, dims}) => session.run({[session.inputNames[0]]: new ort.Tensor("float32", data, dims)});
        return {engine, run, release: () => session.release()};
    };
    return async (name, dims, most) => {
        const wasm = await open(name, "wasm");
        return gpu ? better(wasm, () => open(name, "webgpu"), trial(dims, most), wanted) : wasm;
    };
}

// The runtime's smaller build for WebGPU needs JSPI. An adapter in software is the processor again, and slower.
async function hasGraphics(wanted) {
    if (wanted === "wasm") return false;
    const adapter = "Suspending" in WebAssembly && await navigator.gpu?.requestAdapter().catch(() => null);
    if (adapter && (wanted || !adapter.info.isFallbackAdapter)) return true;
    if (wanted) console.warn("This browser has no WebGPU with JSPI: on WebAssembly.");
    return false;
}

function trial(dims, most) {
    const length = dims.reduce((a, b) => a * b);
    return {data: Float32Array.from({length}, (_, i) => most * Math.abs(Math.sin(i))), dims};
}

export async function better(wasm, openOther, input, wanted) {
    let webgpu;
    try {
        webgpu = await openOther();
        const [known, found] = [await timed(wasm, input), await timed(webgpu, input)];
        if (!same(known.outputs, found.outputs)) throw Error("other answers than WebAssembly's");
        if (wanted || found.time < known.time) return withSubstitute(webgpu, wasm);
    } catch (error) {
        console.warn(`Not on WebGPU: ${error.message}`);
    }
    webgpu?.release();
    return wasm;
}

async function timed({run}, input) {
    let outputs = await run(input), time = Infinity;  // the first run compiles
    const start = performance.now();
    for (let i = 0; i < TRIES && performance.now() - start < LONGEST; i++) {
        const begin = performance.now();
        outputs = await run(input);
        time = Math.min(time, performance.now() - begin);
    }
    return {outputs, time};
}

const same = (known, found) => Object.keys(known).every(name =>
    known[name].data.every((value, i) => Math.abs(value - found[name].data[i]) <= SAME * Math.max(1, Math.abs(value))));

// A browser may take the graphics processor away, for instance from a page out of sight.
function withSubstitute(webgpu, wasm) {
    let current = webgpu;
    return {...webgpu, run: input => current.run(input).catch(error => {
        if (current === wasm) throw error;
        console.warn(`WebGPU is gone, on WebAssembly from now on: ${error.message}`);
        current = wasm;
        return wasm.run(input);
    })};
}
