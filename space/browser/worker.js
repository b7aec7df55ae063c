// Detector and network, beside the page so that it stays responsive. In: {model, wanted} once (engine.js),
// then pictures {bitmap, live, single, prior}. Out: {engines}, {failed: message}, or {size, faces, smaller: how many
// were left out}.

import {cropFace} from "./crop.js";
import {findFaces, sideOf} from "./detector.js";
import {opener} from "./engine.js";
import {expression, input} from "./expression.js";
import {lookOf} from "./follow.js";

const MOST_FACES = {photo: 50, live: 8};  // the largest are kept
const canvas = new OffscreenCanvas(1, 1), context = canvas.getContext("2d", {willReadFrequently: true});
let model, detect, classify;

async function load(facts, wanted) {
    const open = await opener(wanted), {channels, size} = facts.input;
    const detector = await open("face_detection_yunet.onnx", [1, 3, 256, 320], 255);
    const network = await open("model.onnx", [1, channels, size, size], 1);
    [detect, classify, model] = [detector.run, network.run, facts];
    return [detector.engine, network.engine];
}

function pixels(bitmap) {
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    blacken();  // under what is transparent
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const picture = context.getImageData(0, 0, canvas.width, canvas.height);
    blacken();
    return picture;
}

const blacken = () => context.fillRect(0, 0, canvas.width, canvas.height);

async function look({bitmap, live, single, prior}) {
    const picture = pixels(bitmap), {width, height} = picture;
    const found = await findFaces(detect, picture, {live, ...model.detector});
    const faces = largest(found, single ? 1 : MOST_FACES[live ? "live" : "photo"]);
    const crops = faces.map(face => cropFace(picture, face, model.input.size));
    const boxes = faces.map(({box: [left, top, right, bottom]}) =>
        [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)].map(Math.round));
    const told = crops.length ? await classified(crops, boxes, prior) : [];
    const seen = told.map((face, i) => ({...face, box: boxes[i], look: lookOf(crops[i], model.input.size)}));
    return {size: [width, height], faces: seen, smaller: single ? 0 : found.length - faces.length};
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
        postMessage({engines: await load(data.model, data.wanted)});
    } else {
        postMessage(await look(data));
    }
}

let last = Promise.resolve();  // one after the other
onmessage = ({data}) => {
    last = last.then(() => answer(data)).catch(error => postMessage({failed: String(error?.message ?? error)}));
};
