// Crops -> the network's input, and its logits -> what a face shows. model.json has the numbers.

const LUMA = [0.299, 0.587, 0.114];  // ITU-R 601

// crops: of crop.js. -> {data: float32 (N, channels, size, size), dims}
export function input(crops, {size, channels, mean, std}) {
    const plane = size * size, data = new Float32Array(crops.length * channels * plane);
    crops.forEach((crop, n) => {
        for (let i = 0; i < plane; i++) {
            const rgb = crop.subarray(3 * i, 3 * i + 3);
            const values = channels === 3 ? rgb : [LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]];
            for (let c = 0; c < channels; c++)
                data[(n * channels + c) * plane + i] = (values[c] / 255 - mean[c]) / std[c];
        }
    });
    return {data, dims: [crops.length, channels, size, size]};
}

// logits: raw. side: of the face's box, in pixels. -> {shares, label, score, uncertain}
export function expression(logits, side, model, prior) {
    const {temperature} = fittedAt(side, model), shift = model.priors[prior] ?? model.priors.own;
    const shifted = Array.from(logits, (logit, i) => logit / temperature + (shift?.[i] ?? 0));
    const most = Math.max(...shifted), powers = shifted.map(logit => Math.exp(logit - most));
    const sum = powers.reduce((a, b) => a + b);
    return judged(powers.map(power => power / sum), side, model);
}

export function judged(shares, side, model) {
    const score = Math.max(...shares);
    const uncertain = side < model.min_face_size || score < fittedAt(side, model).uncertain_below;
    return {shares, score, label: shares.indexOf(score), uncertain};
}

// Temperature and threshold for a face of `side` pixels, interpolated between the sizes for which they were
// fitted, as fitted_at of modeling/calibration.py does.
function fittedAt(side, {sizes}) {
    const next = sizes.findIndex(size => side < size.side);
    if (next < 1) return sizes.at(next);
    const [small, large] = [sizes[next - 1], sizes[next]];
    const share = (side - small.side) / (large.side - small.side);
    const between = name => small[name] + share * (large[name] - small[name]);
    return {temperature: between("temperature"), uncertain_below: between("uncertain_below")};
}
