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

// logits: as the model gives them, under its own prior. -> {shares, label, score, uncertain}
export function expression(logits, model, prior) {
    const shift = model.priors[prior] ?? [];
    const shifted = Array.from(logits, (logit, i) => logit + (shift[i] ?? 0)), most = Math.max(...shifted);
    const powers = shifted.map(logit => Math.exp(logit - most));
    const sum = powers.reduce((a, b) => a + b);
    return judged(powers.map(power => power / sum), model);
}

export function judged(shares, model) {
    const score = Math.max(...shares);
    return {shares, score, label: shares.indexOf(score), uncertain: score < (model.uncertain_below ?? 0)};
}
