// The page: a photo or the camera, what is done with each, and what the visitor may choose.

import {Camera} from "./camera.js";
import {Follower} from "./follow.js";
import {Networks} from "./networks.js";
import {People} from "./people.js";

const part = name => document.querySelector(name);
const [scene, video, picture, button, turn] = [".scene", "video", ".photo", ".switch", ".turn"].map(part);
const LANES = navigator.hardwareConcurrency > 1 ? [0, 1] : [0];  // frames in work at a time
const ENGINES = ["wasm", "webgpu"];  // one of which ?engine=... chooses
const camera = new Camera(video, () => stop("The camera has gone."));
let model, people, follower, live = false, photo = null, times = [], lookedAt = 0;

function say(words) {
    if (part(".words").textContent !== words) part(".words").textContent = words;
}

const counted = count => count === 0 ? "No face was found." : count === 1 ? "One face." : `${count} faces.`;

// Workers with both networks, each loaded when it is first needed.
const loading = [];
const networks = number => loading[number] ??= load().catch(error => {
    delete loading[number];
    throw error;
});

async function load() {
    if (typeof WebAssembly !== "object") throw Error("This browser has no WebAssembly, which the networks need.");
    say("Loading the networks, once ...");
    const answer = await fetch("model.json");
    if (!answer.ok) throw Error("The model's files are not here; python space/assemble.py brings them.");
    model ??= await answer.json();
    part(".assume").hidden = !Object.keys(model.priors).length;
    people ??= new People(part(".boxes"), part(".people"), model);
    const asked = new URLSearchParams(location.search).get("engine");
    return new Networks().load(model, ENGINES.find(name => name === asked));
}

const options = isLive => ({live: isLive, single: part(".single").checked, prior: part(".prior").value});

// faces: of a worker, as persons. -> {size, faces}, which is also an event `faces` of the document.
function answered(size, faces) {
    const found = {size, faces: faces.map(({look, ...face}) => ({...face, label: model.classes[face.label]}))};
    document.dispatchEvent(new CustomEvent("faces", {detail: found}));
    return found;
}

async function show(file) {
    if (live) stop();
    try {
        photo = await createImageBitmap(file, {colorSpaceConversion: "none"});
    } catch {
        return say(`${file.name}: not an image that this browser reads.`);
    }
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(file);
    picture.hidden = false;
    scene.classList.add("on");
    scene.style.setProperty("--ratio", photo.width / photo.height);
    await lookAtPhoto();
}

async function lookAtPhoto() {
    const shown = photo;
    try {
        const network = await networks(0);
        say("Looking for faces ...");
        const {size, faces, smaller} = await network.look(await createImageBitmap(shown), options(false));
        if (shown !== photo) return;
        const found = answered(size, faces.map((face, i) => ({...face, person: i + 1})));
        people.photo(found);
        say(counted(found.faces.length) + (smaller ? ` ${smaller} smaller ones are not labelled.` : ""));
    } catch (error) {
        say(error.message);
    }
}

function forgetPhoto() {
    photo?.close();
    photo = null;
    URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
    picture.hidden = true;
}

async function start(begin = () => camera.start()) {
    button.disabled = true;
    const lanes = [];
    try {
        for (const lane of LANES) lanes.push(await networks(lane));  // the second finds the files in the cache
        say("Waiting for the camera ...");
        await begin();
    } catch (error) {
        stop(error.message);
        return;
    } finally {
        button.disabled = false;
    }
    forgetPhoto();
    people.clear();
    scene.classList.add("on");
    scene.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
    part(".mirror").checked = camera.facing !== "environment";
    mirror();
    button.textContent = "Stop";
    turn.hidden = camera.all.length < 2;
    times = [];
    live = true;
    follower = new Follower();
    say("Looking for faces ...");
    follow(camera.stream, lanes);
}

function stop(words = "") {
    live = false;
    camera.stop();
    follower = null;
    people?.clear();
    if (!photo) scene.classList.remove("on");
    button.textContent = "Start the camera";
    turn.hidden = true;
    part(".rate").textContent = "";
    say(words);
}

// Each of the lanes looks at a frame at a time; the frames are shown in their order.
function follow(stream, lanes) {
    const goesOn = () => live && camera.stream === stream, fail = error => goesOn() && stop(error.message);
    let frame = Promise.resolve(), shown = frame;
    lanes.forEach(async network => {
        while (goesOn()) {
            await (frame = frame.then(newFrame));
            if (!goesOn()) return;
            if (away()) return stop();
            const now = performance.now();
            const found = createImageBitmap(video).then(bitmap => network.look(bitmap, options(true)));
            shown = Promise.all([found, shown]).then(([found]) => goesOn() && showFrame(found, now));
            shown.catch(fail);
            await found.catch(fail);
        }
    });
}

// Until the camera has given a frame that was not looked at; no longer than 100 ms, since it gives none to a
// page out of sight, which has to stop it.
async function newFrame() {
    for (let wait = 0; wait < 100; wait += 5) {
        const {totalVideoFrames: number} = video.getVideoPlaybackQuality();
        if (number !== lookedAt) {
            lookedAt = number;
            return;
        }
        await new Promise(done => setTimeout(done, 5));
    }
}

function showFrame({size, faces}, taken) {
    const found = answered(size, follower.follow(faces, taken / 1000, model)), now = performance.now();
    people.frame(found, now, part(".mirror").checked);
    say(found.faces.length ? counted(found.faces.length) : "No face in sight.");
    showRate(now);
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
}

button.onclick = () => live ? stop() : start();
turn.onclick = () => {
    live = false;
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
part(".controls").disabled = false;  // until now nobody would have answered a click
