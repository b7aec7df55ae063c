// Pictures are {data, width, height} with RGBA bytes, as a canvas gives them.

// For each of `to` places along a line of `from`: `count` source places and their weights, which sum to 1.
// Area averaging where it shrinks, bilinear where it enlarges.
function taps(from, to) {
    const scale = from / to, count = scale > 1 ? Math.ceil(scale) + 1 : 2;
    const places = new Int32Array(to * count), weights = new Float32Array(to * count);
    for (let place = 0; place < to; place++) {
        const start = scale > 1 ? place * scale : (place + 0.5) * scale - 0.5, first = Math.floor(start);
        for (let i = 0; i < count; i++) {
            const at = first + i, tap = place * count + i;
            places[tap] = Math.min(from - 1, Math.max(0, at));
            weights[tap] = scale > 1
                ? Math.max(0, Math.min(at + 1, start + scale) - Math.max(at, start)) / scale
                : 1 - Math.abs(at - start);
        }
    }
    return {count, places, weights};
}

export function resize(picture, width, height) {
    if (width === picture.width && height === picture.height) return picture;
    const data = new Uint8ClampedArray(4 * width * height), source = picture.data;
    const across = taps(picture.width, width), down = taps(picture.height, height);
    const bytes = 4 * picture.width, line = new Float32Array(bytes);
    for (let y = 0; y < height; y++) {
        line.fill(0);
        for (let i = y * down.count; i < (y + 1) * down.count; i++) {
            const weight = down.weights[i], from = down.places[i] * bytes;
            for (let at = 0; at < bytes; at++) line[at] += weight * source[from + at];
        }
        for (let x = 0; x < width; x++) {
            let red = 0, green = 0, blue = 0;
            for (let i = x * across.count; i < (x + 1) * across.count; i++) {
                const weight = across.weights[i], at = 4 * across.places[i];
                red += weight * line[at];
                green += weight * line[at + 1];
                blue += weight * line[at + 2];
            }
            const to = 4 * (y * width + x);
            data[to] = red;
            data[to + 1] = green;
            data[to + 2] = blue;
        }
    }
    return {data, width, height};
}

// With `margin` pixels around it, its edge repeated.
export function padded(picture, margin) {
    const width = picture.width + 2 * margin, height = picture.height + 2 * margin;
    const data = new Uint8ClampedArray(4 * width * height), source = picture.data;
    for (let y = 0; y < height; y++) {
        const line = Math.min(picture.height - 1, Math.max(0, y - margin)) * picture.width;
        for (let x = 0; x < width; x++) {
            const from = 4 * (line + Math.min(picture.width - 1, Math.max(0, x - margin))), to = 4 * (y * width + x);
            for (let c = 0; c < 3; c++) data[to + c] = source[from + c];
        }
    }
    return {data, width, height};
}
