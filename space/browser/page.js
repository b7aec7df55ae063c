// The page: a photo or the camera, what is done with each, and what the visitor may choose.

import {Camera} from "./camera.js";
import {People} from "./people.js";

const part = name => document.querySelector(name);
const [scene, video, picture, button, turn] = [".scene", "video", ".photo", ".switch", ".turn"].map(part);
const camera = new Camera(video, () => stop("The camera has gone."));
let worker, people, asked = [], live = false, photo = null, times = [];

function say(words) {
    if (part(".words").textContent !== words) part(".words").textContent = words;
}

const counted = count => count === 0 ? "No face was found." : count === 1 ? "One face." : `${count} faces.`;

// Detector and network, loaded when they are first needed. The worker is made of a blob so that this page's
// content security policy, which names no other origin, is the worker's too.
let loading = null;
const networks = () => loading ??= load().catch(error => {
    loading = null;
    throw error;
});

async function load() {
    if (typeof WebAssembly !== "object") throw Error("This browser has no WebAssembly, which the networks need.");
    say("Loading the networks, once ...");
    const answer = await fetch("model.json");
    if (!answer.ok) throw Error("The model's files are not here; python space/assemble.py brings them.");
    const model = await answer.json();
    const code = `import ${JSON.stringify(new URL("worker.js", location).href)};`;
    const url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
    worker = new Worker(url, {type: "module"});
    worker.onmessage = ({data}) => asked.shift()(data);
    worker.onerror = () => asked.shift()?.({failed: "this browser runs no worker of modules"});
    await ask({model});
    URL.revokeObjectURL(url);
    part(".assume").hidden = !Object.keys(model.priors).length;
    people = new People(part(".boxes"), part(".people"), model);
}

// A message to the worker, and its answer; it answers in order.
function ask(message, transferred = []) {
    return new Promise((done, fail) => {
        asked.push(data => data.failed ? fail(Error(`The networks do not run here: ${data.failed}.`)) : done(data));
        worker.postMessage(message, transferred);
    });
}

// -> {size, faces}, which is also an event `faces` of the document.
async function look(bitmap, isLive) {
    const [single, prior] = [part(".single").checked, part(".prior").value];
    const now = performance.now() / 1000;
    const found = await ask({bitmap, live: isLive, single, prior, now}, [bitmap]);
    document.dispatchEvent(new CustomEvent("faces", {detail: found}));
    return found;
}

async function show(file) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(file, {colorSpaceConversion: "none"});
    } catch {
        return say(`${file.name}: not an image that this browser reads.`);
    }
    if (live) stop();
    forgetPhoto();
    photo = bitmap;
    picture.src = URL.createObjectURL(file);
    picture.hidden = false;
    scene.classList.add("on");
    scene.style.setProperty("--ratio", photo.width / photo.height);
    await lookAtPhoto();
}

async function lookAtPhoto() {
    const shown = photo;
    try {
        await networks();
        if (shown !== photo) return;
        say("Looking for faces ...");
        const found = await look(await createImageBitmap(shown), false);
        if (shown !== photo) return;
        people.photo(found);
        say(counted(found.faces.length));
    } catch (error) {
        if (shown === photo) say(error.message);
    }
}

function forgetPhoto() {
    photo?.close();
    photo = null;
    people?.clear();
    URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
    picture.hidden = true;
}

async function start(begin = () => camera.start()) {
    button.disabled = true;
    try {
        await networks();
        say("Waiting for the camera ...");
        await begin();
    } catch (error) {
        camera.stop();
        return photo ? say(error.message) : stop(error.message);
    } finally {
        button.disabled = false;
    }
    forgetPhoto();
    scene.classList.add("on");
    scene.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
    part(".mirror").checked = camera.facing !== "environment";
    mirror();
    button.textContent = "Stop";
    turn.hidden = camera.all.length < 2;
    times = [];
    live = true;
    say("Looking for faces ...");
    follow(camera.stream);
}

function stop(words = "") {
    live = false;
    camera.stop();
    worker?.postMessage({forget: true});
    people?.clear();
    if (!photo) scene.classList.remove("on");
    button.textContent = "Start the camera";
    turn.hidden = true;
    part(".rate").textContent = "";
    say(words);
}

// One frame after the other: the newest when the one before it is answered.
async function follow(stream) {
    try {
        while (live && camera.stream === stream) {
            if (away()) return stop();
            const found = await look(await createImageBitmap(video), true);
            if (!live || camera.stream !== stream) return;
            const now = performance.now();
            people.frame(found, now, part(".mirror").checked);
            say(found.faces.length ? counted(found.faces.length) : "No face in sight.");
            showRate(now);
            await new Promise(done => setTimeout(done));
        }
    } catch (error) {
        if (live && camera.stream === stream) stop(error.message);
    }
}

// Whether the page is out of sight, or the tab of the page around it.
const away = () => document.hidden || frameElement && !frameElement.offsetParent;

function showRate(now) {
    times = [...times.filter(time => now - time < 3000), now];
    const rate = Math.round(1000 * (times.length - 1) / (now - times[0]));
    if (times.length > 2) part(".rate").textContent = `${rate} frame${rate === 1 ? "" : "s"} a second`;
}

function mirror() {
    scene.classList.toggle("mirrored", part(".mirror").checked);
    if (live) part(".boxes").replaceChildren();  // until the next frame
}

button.onclick = () => live ? stop() : start();
turn.onclick = () => {
    live = false;
    worker.postMessage({forget: true});
    start(() => camera.turn());
};
part(".mirror").onchange = mirror;
for (const name of [".single", ".prior"]) part(name).onchange = () => photo && lookAtPhoto();
part("input[type=file]").onchange = ({target}) => {
    if (target.files.length) show(target.files[0]);
    target.value = "";
};
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) show(file);
});
document.addEventListener("paste", event => {
    const file = event.clipboardData.files[0];
    if (file) show(file);
});
document.addEventListener("visibilitychange", () => live && document.hidden && stop());
addEventListener("pagehide", () => live && stop());
if (frameElement) {  // in a page of the same origin
    document.body.classList.add("embedded");
    const fit = () => frameElement.style.height = `${document.body.offsetHeight + 8}px`;
    new ResizeObserver(fit).observe(document.body);
}
