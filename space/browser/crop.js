// The upright square around a face, in the network's size, as modeling/face_cropping.py cuts it.

import {sideOf} from "./detector.js";

const SIDE = 0.94, ABOVE = 0.01;  // in sides of the detector's box: FRAME["yunet"]
const MOST_SAMPLES = 16;  // of the photo, averaged to a pixel, across and down

// picture: see resize.js. -> RGB in [0, 255], size x size x 3: each pixel is the mean of samples in its square.
export function cropFace(picture, {box: [left, top, right, bottom], angle}, size) {
    const length = SIDE * sideOf([left, top, right, bottom]);
    const samples = Math.min(Math.ceil(length / size), MOST_SAMPLES), step = length / (size * samples);
    const [cos, sin] = [step * Math.cos(angle), step * Math.sin(angle)];
    const x = (left + right) / 2 + ABOVE * length * Math.sin(angle) - 0.5;
    const y = (top + bottom) / 2 - ABOVE * length * Math.cos(angle) - 0.5;
    const crop = new Float32Array(3 * size * size), half = (size * samples - 1) / 2;
    for (let v = 0; v < size * samples; v++)
        for (let u = 0; u < size * samples; u++) {
            const across = u - half, down = v - half;
            const at = 3 * (Math.floor(v / samples) * size + Math.floor(u / samples));
            add(picture, x + cos * across - sin * down, y + sin * across + cos * down, crop, at);
        }
    return crop.map(sum => sum / samples ** 2);
}

// Bilinear; the picture's edge is repeated beyond its border.
function add({data, width, height}, x, y, crop, at) {
    const left = Math.floor(x), top = Math.floor(y), across = x - left, down = y - top;
    const [x0, x1] = [within(left, width), within(left + 1, width)];
    const [y0, y1] = [width * within(top, height), width * within(top + 1, height)];
    for (let c = 0; c < 3; c++) {
        const above = data[4 * (y0 + x0) + c] * (1 - across) + data[4 * (y0 + x1) + c] * across;
        const below = data[4 * (y1 + x0) + c] * (1 - across) + data[4 * (y1 + x1) + c] * across;
        crop[at + c] += above * (1 - down) + below * down;
    }
}

const within = (place, length) => Math.min(length - 1, Math.max(0, place));
