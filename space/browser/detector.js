// Where the faces are: YuNet (Wu et al., 2023) by its outputs, decoded as OpenCV's FaceDetectorYN does,
// and searched as modeling/face_detection.py does, without tiles.

import {padded, resize} from "./resize.js";

const STRIDES = [8, 16, 32], MOST = 5000, SHARED = 0.3;
const SIDE_OF_PHOTO = 1280, SIDE_OF_FRAME = 320;  // pixels of the longer side that is searched
const CLOSE_UP_SIDE = 256;  // where no face is found, at this size again, with room around it

// run: {data: float32 NCHW, dims} -> the network's outputs by name. picture: see resize.js.
// -> faces from left to right: {box: [left, top, right, bottom], score, angle}
export async function findFaces(run, picture, {live, threshold, least_face: least}) {
    const side = Math.max(picture.width, picture.height);
    let faces = [];
    if (side > CLOSE_UP_SIDE) {
        const largest = live ? SIDE_OF_FRAME : SIDE_OF_PHOTO;
        faces = await search(run, picture, Math.min(1, largest / side), 0, threshold);
    }
    if (!faces.length)
        faces = await search(run, picture, CLOSE_UP_SIDE / side, CLOSE_UP_SIDE / 4, threshold);
    return faces.filter(face => sideOf(face.box) >= least).sort((a, b) => a.box[0] - b.box[0]);
}

export const sideOf = ([left, top, right, bottom]) => Math.max(right - left, bottom - top);

async function search(run, picture, scale, margin, threshold) {
    const {width, height} = picture;
    const size = [width, height].map(length => Math.max(1, Math.round(length * scale)));
    const copy = resize(picture, ...size);
    const values = input(margin ? padded(copy, margin) : copy);
    return apart(candidates(await run(values), values.dims[3], threshold))
        .map(face => ({...face, box: face.box.map(edge => (edge - margin) / scale)}))
        .filter(({box: [left, top, right, bottom]}) =>
            Math.max(left, 0) < Math.min(right, width) && Math.max(top, 0) < Math.min(bottom, height)
            && sideOf([left, top, right, bottom]) <= 2 * Math.max(width, height));
}

// BGR, black to the right and below, up to a multiple of 32.
function input({data, width, height}) {
    const [wide, high] = [width, height].map(length => 32 * Math.ceil(Math.max(64, length) / 32));
    const values = new Float32Array(3 * wide * high), plane = wide * high;
    for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
            for (let c = 0; c < 3; c++)
                values[(2 - c) * plane + y * wide + x] = data[4 * (y * width + x) + c];
    return {data: values, dims: [1, 3, high, wide]};
}

// width: of the input.
function candidates(outputs, width, threshold) {
    const found = [];
    for (const stride of STRIDES) {
        const [classes, objects, boxes, points] = ["cls", "obj", "bbox", "kps"]
            .map(name => outputs[`${name}_${stride}`].data);
        const columns = width / stride;
        for (let i = 0; i < classes.length; i++) {
            const [share, other] = [classes[i], objects[i]].map(value => Math.min(1, Math.max(0, value)));
            const score = Math.sqrt(share * other);
            if (score < threshold) continue;
            const column = i % columns, row = Math.floor(i / columns);
            const [x, y] = [column + boxes[4 * i], row + boxes[4 * i + 1]].map(at => at * stride);
            const [wide, high] = [2, 3].map(at => stride * Math.exp(boxes[4 * i + at]));
            const eyes = [0, 1, 2, 3].map(at => (points[10 * i + at] + (at % 2 ? row : column)) * stride);
            found.push({
                box: [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2],
                score,
                angle: Math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0]),
            });
        }
    }
    return found.sort((a, b) => b.score - a.score).slice(0, MOST);
}

// Of faces that share more than `SHARED`, the one of the highest score (non-maximum suppression).
function apart(faces) {
    const kept = [];
    for (const face of faces)
        if (kept.every(other => overlap(face.box, other.box) <= SHARED)) kept.push(face);
    return kept;
}

// Intersection over union, in [0, 1].
export function overlap([left, top, right, bottom], [left2, top2, right2, bottom2]) {
    const width = Math.min(right, right2) - Math.max(left, left2);
    const height = Math.min(bottom, bottom2) - Math.max(top, top2);
    const shared = Math.max(0, width) * Math.max(0, height);
    const whole = (right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2) - shared;
    return shared / Math.max(1, whole);
}
