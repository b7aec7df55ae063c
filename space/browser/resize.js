// Pictures are {data, width, height} with RGBA bytes, as a canvas gives them.

// For each of `to` places along a line of `from`: the first source place and the weights from there on.
// Area averaging where it shrinks, bilinear where it enlarges.
function taps(from, to) {
    const scale = from / to;
    return Array.from({length: to}, (_, place) => {
        if (scale > 1) {
            const start = place * scale, end = Math.min(from, start + scale), first = Math.floor(start);
            const weights = [];
            for (let i = first; i < end - 1e-6; i++)
                weights.push((Math.min(i + 1, end) - Math.max(i, start)) / (end - start));
            return {first, weights};
        }
        const centre = (place + 0.5) * scale - 0.5, first = Math.floor(centre);
        return {first, weights: [1 - (centre - first), centre - first]};
    });
}

const clamp = (value, last) => value < 0 ? 0 : value > last ? last : value;

export function resize(picture, width, height) {
    if (width === picture.width && height === picture.height) return picture;
    const data = new Uint8ClampedArray(4 * width * height), row = new Float32Array(3 * width);
    const across = taps(picture.width, width), source = picture.data;
    taps(picture.height, height).forEach(({first: top, weights: down}, y) => {
        row.fill(0);
        down.forEach((rowWeight, i) => {
            const line = clamp(top + i, picture.height - 1) * picture.width;
            for (let x = 0; x < width; x++) {
                const {first, weights} = across[x];
                for (let j = 0; j < weights.length; j++) {
                    const at = 4 * (line + clamp(first + j, picture.width - 1));
                    const weight = rowWeight * weights[j];
                    row[3 * x] += weight * source[at];
                    row[3 * x + 1] += weight * source[at + 1];
                    row[3 * x + 2] += weight * source[at + 2];
                }
            }
        });
        for (let x = 0; x < width; x++)
            for (let c = 0; c < 3; c++) data[4 * (y * width + x) + c] = row[3 * x + c];
    });
    return {data, width, height};
}

// With `margin` pixels around it, its edge repeated.
export function padded(picture, margin) {
    const width = picture.width + 2 * margin, height = picture.height + 2 * margin;
    const data = new Uint8ClampedArray(4 * width * height), source = picture.data;
    for (let y = 0; y < height; y++) {
        const line = clamp(y - margin, picture.height - 1) * picture.width;
        for (let x = 0; x < width; x++) {
            const from = 4 * (line + clamp(x - margin, picture.width - 1)), to = 4 * (y * width + x);
            for (let c = 0; c < 3; c++) data[to + c] = source[from + c];
        }
    }
    return {data, width, height};
}
