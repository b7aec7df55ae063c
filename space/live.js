// The camera of the tab Live. A frame is sent when the one before it has been answered: frames are
// dropped, never queued. Everything shown is made of the answers and forgotten by stopping.

const EVERY = 80;  // ms from frame to frame, at least
const PATIENCE = 2000;  // ms until a frame that nobody answers is followed by another
const KEPT = 30_000;  // ms of a strip
const STRIP_EVERY = 100, DRAWN_EVERY = 250;  // ms
const PEOPLE = 4, BARS = 8;  // most that are shown

const part = name => element.querySelector(name);
const [scene, video, boxes, button] = [".scene", "video", ".boxes", ".switch"].map(part);
const canvas = document.createElement("canvas");
const REFUSED = {
    NotAllowedError: "The camera was not allowed. Allow it beside the page's address, then start.",
    NotFoundError: "No camera was found.",
    NotReadableError: "The camera is in use by another program.",
};
let camera = null, timer = 0, sent = 0, answered = 0, drawn = 0, frames = [], people = new Map();

function make(tag, name = "", text = "") {
    return Object.assign(document.createElement(tag), {className: name, textContent: text});
}

function say(words) {
    if (part(".words").textContent !== words) part(".words").textContent = words;
}

async function start() {
    button.disabled = true;
    say("Waiting for the camera ...");
    try {
        if (!navigator.mediaDevices)
            throw Error("browsers give a camera only to pages that come by HTTPS");
        const video = {width: {ideal: 640}, height: {ideal: 480}, facingMode: "user"};
        camera = await navigator.mediaDevices.getUserMedia({video});
    } catch (error) {
        button.disabled = false;
        return say(REFUSED[error.name] ?? `The camera does not start: ${error.message}`);
    }
    camera.getVideoTracks()[0].onended = () => stop("The camera has gone.");
    video.srcObject = camera;
    await video.play();
    scene.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
    scene.classList.add("on");
    button.disabled = false;
    button.textContent = "Stop";
    frames = [];
    people = new Map();
    part(".people").replaceChildren();
    answered = performance.now();
    say("Looking for faces ...");
    send();
}

function stop(words = "") {
    clearTimeout(timer);
    camera?.getTracks().forEach(track => track.stop());
    camera = video.srcObject = null;
    trigger("close_stream");
    props.value = "";
    boxes.replaceChildren();
    scene.classList.remove("on");
    button.textContent = "Start the camera";
    part(".rate").textContent = "";
    say(words);
}

function send() {
    if (!camera) return;
    if (document.hidden || !element.offsetParent) return stop();  // another tab, or page
    sent = performance.now();
    if (sent - answered >= PATIENCE) sayPlace();
    timer = setTimeout(send, PATIENCE);
    const scale = Math.min(1, props.side / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(scale * video.videoWidth);
    canvas.height = Math.round(scale * video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    props.value = canvas.toDataURL("image/jpeg", 0.7);
    trigger("stream");
}

async function sayPlace() {
    const {live, waiting} = await (await fetch("live-places")).json();
    if (!camera || performance.now() - answered < PATIENCE) return;  // stopped, or answered since
    if (live < props.most || !waiting) return say("Waiting for the server ...");
    const others = waiting > 1 ? `you are one of ${waiting} who wait` : "you are the next";
    say(`All ${props.most} places are taken, ${others}. A turn is a minute or two.`);
}

watch("value", () => {
    if (!camera || !props.value.startsWith("{")) return;
    const {size, faces} = JSON.parse(props.value);
    answered = performance.now();
    clearTimeout(timer);
    timer = setTimeout(send, Math.max(0, EVERY - (answered - sent)));
    showBoxes(faces, size);
    remember(faces, answered);
    if (answered - drawn > DRAWN_EVERY) showPeople(answered);
    const count = faces.length;
    say(count === 0 ? "No face in sight." : count === 1 ? "One face." : `${count} faces.`);
});

// The nodes of those who were there before, by their number: they move instead of being replaced.
function remaining(parent, ids) {
    const nodes = new Map([...parent.children].map(node => [+node.dataset.id, node]));
    for (const [id, node] of nodes)
        if (!ids.includes(id)) node.remove();
    return nodes;
}

function showBoxes(faces, size) {
    const nodes = remaining(boxes, faces.map(face => face.person));
    for (const face of faces) {
        const node = nodes.get(face.person) ?? make("div");
        if (!node.isConnected) {
            node.dataset.id = face.person;
            node.append(make("span"));
            boxes.append(node);
        }
        place(node, face, size);
    }
}

function place(node, face, [width, height]) {
    const [left, top, right, bottom] = face.box;  // the picture is shown mirrored
    node.classList.toggle("inside", top < 0.12 * height);
    node.classList.toggle("leftwards", left < 0.4 * width);
    Object.assign(node.style, {
        left: `${100 * (1 - right / width)}%`,
        top: `${100 * top / height}%`,
        width: `${100 * (right - left) / width}%`,
        height: `${100 * (bottom - top) / height}%`,
        borderColor: props.colors[props.labels.indexOf(face.label)],
    });
    const unsure = face.uncertain ? " ?" : "";
    node.firstChild.textContent = `${face.person}  ${face.label} ${percent(face.score)}${unsure}`;
}

function percent(share) {
    return `${Math.round(100 * share)}%`;
}

function remember(faces, now) {
    frames = [...frames.filter(time => now - time < 3000), now];
    for (const face of faces) {
        const known = people.get(face.person) ?? {points: []};
        Object.assign(known, {face, seen: now});
        if (now - (known.points.at(-1)?.[0] ?? 0) >= STRIP_EVERY)
            known.points.push([now, face.shares]);
        people.set(face.person, known);
    }
    for (const known of people.values())
        while (known.points.length && now - known.points[0][0] > KEPT) known.points.shift();
    const latest = [...people].sort(([a, one], [b, other]) => other.seen - one.seen || a - b);
    people = new Map(latest.filter(([, {points}]) => points.length).slice(0, PEOPLE));
}

function showPeople(now) {
    drawn = now;
    if (frames.length > 1) {
        const rate = Math.round(1000 * (frames.length - 1) / (now - frames[0]));
        part(".rate").textContent = `${rate} frame${rate === 1 ? "" : "s"} a second`;
    }
    const cards = remaining(part(".people"), [...people.keys()]);
    for (const id of [...people.keys()].sort((a, b) => a - b)) {
        const card = cards.get(id) ?? newCard(id);
        fill(card, id, people.get(id), now);
        strip(card.querySelector("canvas"), people.get(id).points, now);
    }
}

function newCard(id) {
    const card = make("section", "person"), span = make("div", "span");
    const picture = make("canvas");
    picture.setAttribute("role", "img");
    span.append(make("span", "", "30 s ago"), make("span", "", "now"));
    card.append(make("h2"), make("div", "bars"), picture, span);
    card.dataset.id = id;
    part(".people").append(card);
    return card;
}

function fill(card, id, {face, seen, points}, now) {
    const gone = now - seen > 1000;
    card.classList.toggle("gone", gone);
    const words = gone ? "out of sight" : `${face.label} ${percent(face.score)}`;
    card.querySelector("h2").textContent = `Person ${id} · ${words}`;
    if (face.uncertain && !gone) card.querySelector("h2").append(make("em", "unsure", "uncertain"));
    const shown = [...props.labels.keys()]
        .sort((a, b) => face.shares[b] - face.shares[a]).slice(0, BARS).sort((a, b) => a - b);
    card.querySelector(".bars").replaceChildren(...shown.map(label => bar(label, face)));
    const totals = props.labels.map((_, label) =>
        points.reduce((sum, [, shares]) => sum + shares[label], 0));
    const most = props.labels[totals.indexOf(Math.max(...totals))];
    card.querySelector("canvas").setAttribute(
        "aria-label", `Person ${id}, the last 30 seconds: most of all ${most}`);
}

function bar(label, face) {
    const name = props.labels[label], share = face.shares[label];
    const row = make("div", name === face.label ? "row first" : "row"), whole = make("span", "bar");
    const filled = make("i");
    Object.assign(filled.style, {width: percent(share), background: props.colors[label]});
    whole.append(filled);
    whole.setAttribute("aria-hidden", "true");
    row.append(make("span", "", name), whole, make("span", "share", percent(share)));
    return row;
}

function strip(picture, points, now) {
    const width = picture.width = 2 * picture.clientWidth, height = picture.height = 88;
    const context = picture.getContext("2d"), across = time => width * (1 - (now - time) / KEPT);
    let below = points.map(() => 0);
    props.labels.forEach((_, label) => {
        const above = points.map(([, shares], i) => below[i] + shares[label]);
        context.beginPath();
        points.forEach(([time], i) => context.lineTo(across(time), height * (1 - above[i])));
        for (let i = points.length - 1; i >= 0; i--)
            context.lineTo(across(points[i][0]), height * (1 - below[i]));
        context.fillStyle = props.colors[label];
        context.fill();
        below = above;
    });
}

button.onclick = () => camera ? stop() : start();
document.addEventListener("visibilitychange", () => camera && document.hidden && stop());
addEventListener("pagehide", () => camera && stop());
