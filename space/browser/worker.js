// Detector and network, beside the page so that it stays responsive. In: {model} once, then pictures
// {bitmap, live, single, prior}. Out: {ready}, {failed: message}, or {size, faces}.

import {cropFace} from "./crop.js";
import {findFaces, sideOf} from "./detector.js";
import {expression, input} from "./expression.js";
import {lookOf} from "./follow.js";

const MOST_FACES = {photo: 50, live: 8};  // the largest are kept
const canvas = new OffscreenCanvas(1, 1), context = canvas.getContext("2d", {willReadFrequently: true});
let model, detect, classify;

async function load(facts) {
    const ort = await import("./runtime/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("runtime/", import.meta.url).href;
    ort.env.wasm.numThreads = 1;
    const session = async name => {
        const made = await ort.InferenceSession.create(new URL(name, import.meta.url).href);
        return ({data, dims}) => made.run({[made.inputNames[0]]: new ort.Tensor("float32", data, dims)});
    };
    detect = await session("face_detection_yunet.onnx");
    classify = await session("model.onnx");
    model = facts;
}

function pixels(bitmap) {
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function look({bitmap, live, single, prior}) {
    const picture = pixels(bitmap), {width, height} = picture;
    const faces = largest(
        await findFaces(detect, picture, {live, ...model.detector}),
        single ? 1 : MOST_FACES[live ? "live" : "photo"]);
    const crops = faces.map(face => cropFace(picture, face, model.input.size));
    const boxes = faces.map(({box: [left, top, right, bottom]}) =>
        [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)].map(Math.round));
    const told = crops.length ? await classified(crops, boxes, prior) : [];
    const seen = told.map((face, i) => ({...face, box: boxes[i], look: lookOf(crops[i], model.input.size)}));
    return {size: [width, height], faces: seen};
}

// At most `most`, still from left to right.
function largest(faces, most) {
    const kept = [...faces].sort((a, b) => sideOf(b.box) - sideOf(a.box)).slice(0, most);
    return faces.filter(face => kept.includes(face));
}

async function classified(crops, boxes, prior) {
    const {logits} = await classify(input(crops, model.input)), count = model.classes.length;
    return boxes.map((box, i) =>
        expression(logits.data.subarray(i * count, (i + 1) * count), sideOf(box), model, prior));
}

async function answer(data) {
    if (data.model) {
        await load(data.model);
        postMessage({ready: true});
    } else {
        postMessage(await look(data));
    }
}

let last = Promise.resolve();  // one after the other
onmessage = ({data}) => {
    last = last.then(() => answer(data)).catch(error => postMessage({failed: String(error?.message ?? error)}));
};
