// What the page does by itself: faces and their boxes mark each other, the marked picture is saved,
// the answer is copied, and a photo may be dropped on the one that is shown.

(() => {
const within = (event, selector) => event.target.closest?.(selector);

function mark(result, number) {
    for (const node of result.querySelectorAll("[data-face]"))
        node.classList.toggle("marked", node.dataset.face === number);
}

for (const name of ["pointerover", "focusin"])
    document.addEventListener(name, event => {
        const face = within(event, ".result [data-face]");
        if (face) mark(face.closest(".result"), face.dataset.face);
    });

document.addEventListener("pointerout", event => {
    const result = within(event, ".result");
    const away = !event.relatedTarget?.closest?.("[data-face]");
    if (result && away && event.pointerType === "mouse") mark(result, null);
});

document.addEventListener("click", event => {
    const box = within(event, ".result button.box");
    if (box) {
        const card = [...box.closest(".result").querySelectorAll(`.face[data-face="${box.dataset.face}"]`)]
            .find(node => node.offsetParent);
        card?.scrollIntoView({block: "nearest", behavior: "smooth"});
    }
    const button = within(event, ".result [data-do]");
    if (button) ({save, copy})[button.dataset.do](button);
    within(event, ".photos .marked-photo")?.closest("figure").classList.toggle("large");
});

const shown = (result, selector) =>
    [...result.querySelectorAll(selector)].filter(node => node.offsetParent);

async function copy(button) {
    const answer = JSON.parse(button.closest(".result").querySelector(".answer").textContent);
    const uniform = document.querySelector("#prior input[value=uniform]:checked");
    const text = JSON.stringify(answer[uniform ? "uniform" : "train"], null, 1);
    try {
        await navigator.clipboard.writeText(text);
        say(button, "Copied");
    } catch {
        say(button, "Not allowed to copy");
    }
}

function say(button, text) {
    const before = button.dataset.text ??= button.textContent;
    button.textContent = text;
    setTimeout(() => button.textContent = before, 1500);
}

function save(button) {
    const result = button.closest(".result"), photo = result.querySelector(".marked-photo > img");
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [photo.naturalWidth, photo.naturalHeight];
    context.drawImage(photo, 0, 0);
    const scale = canvas.width / photo.clientWidth;
    const boxes = shown(result, "button.box");
    for (const box of boxes) {
        const others = boxes.filter(other => other !== box).map(other => edgesOf(other, canvas));
        drawBox(context, box, canvas, Math.max(1, scale), others);
    }
    const link = document.createElement("a");
    link.download = "faces.jpg";
    link.href = canvas.toDataURL("image/jpeg", 0.92);
    link.click();
}

const edgesOf = (box, {width, height}) => ["left", "top", "width", "height"].map(
    (edge, i) => parseFloat(box.style[edge]) / 100 * (i % 2 ? height : width));

function drawBox(context, box, canvas, scale, others) {
    const {width} = canvas, [left, top, wide, high] = edgesOf(box, canvas);
    const size = 14 * scale, pad = 5 * scale, text = box.querySelector("span").textContent;
    for (const [color, line] of [["#101010", 5], [getComputedStyle(box).borderColor, 3]])
        Object.assign(context, {strokeStyle: color, lineWidth: line * scale}),
        context.strokeRect(left, top, wide, high);
    context.font = `600 ${size}px system-ui`;
    const long = context.measureText(text).width + 2 * pad, tall = size + 2 * pad;
    const x = Math.max(0, Math.min(left, width - long)), above = top - tall;
    const covers = ([l, t, w, h]) => x < l + w && l < x + long && above < t + h && t < above + tall;
    const y = above > 0 && !others.some(covers) ? above : top;  // inside, not on a neighbour
    context.fillStyle = "#101010";
    context.fillRect(x, y, long, tall);
    context.fillStyle = "#fff";
    context.fillText(text, x + pad, y + pad + 0.85 * size);
}

// Files that the server would refuse for their size are left out before they are sent, with a sentence.
const MB = 2 ** 20;

function sendable(files, most) {
    let sum = 0;
    const kept = [], large = [];
    for (const file of files) {
        const fits = file.size <= most && sum + file.size <= LIMITS.upload_bytes;
        (fits ? kept : large).push(file);
        if (fits) sum += file.size;
    }
    return {kept, large};
}

function sayLeftOut(large, most) {
    const field = document.querySelector("#left-out") ?? document.body.appendChild(
        Object.assign(document.createElement("p"), {id: "left-out", className: "message", role: "status"}));
    const names = large.map(file => `${file.name} (${Math.ceil(file.size / MB)} MB)`).join(", ");
    field.textContent = !large.length ? "" : `Not sent: ${names}. A file may have ${Math.floor(most / MB)} MB, `
        + `all together ${Math.floor(LIMITS.upload_bytes / MB)} MB.`;
}

function checkSize(event, input, files) {
    const most = input.closest("#video") ? LIMITS.video_bytes : LIMITS.photo_bytes;
    const {kept, large} = sendable(files, most);
    if (!event.sizesAreChecked) sayLeftOut(large, most);
    if (!large.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const list = new DataTransfer();
    for (const file of kept) list.items.add(file);
    input.files = list.files;
    const again = Object.assign(new Event("change", {bubbles: true}), {sizesAreChecked: true});
    if (kept.length) input.dispatchEvent(again);
}

document.addEventListener("change", event => {
    if (event.target.matches?.("input[type=file]")) checkSize(event, event.target, event.target.files);
}, true);

document.addEventListener("drop", event => {
    const input = within(event, ".block")?.querySelector("input[type=file]");
    if (input) checkSize(event, input, event.dataTransfer.files);
}, true);

// Gradio names its fields other than they read, and a frame without a role; both confuse readers.
new MutationObserver(() => {
    for (const text of document.querySelectorAll("#from-a-program")) addressed(text);
    for (const field of document.querySelectorAll("button.upload-container[aria-label]:not(.icon-mode)"))
        field.removeAttribute("aria-label");
    for (const frame of document.querySelectorAll(".empty[aria-label]:not([role])"))
        frame.setAttribute("role", "img");
    // buttons that hold another button
    for (const icon of document.querySelectorAll("button.icon-button:not([role]):has(button)")) {
        Object.assign(icon, {role: "group", tabIndex: -1, title: "Add photos"});
        icon.setAttribute("aria-label", "Add photos");
    }
    for (const header of document.querySelectorAll(".toast-header[role=button]")) {
        header.role = "group";
        header.removeAttribute("tabindex");
    }
}).observe(document, {childList: true, subtree: true});

// Programs find this page where its visitor does.
function addressed(text) {
    const shown = document.createTreeWalker(text, NodeFilter.SHOW_TEXT), own = "http://127.0.0.1:7860";
    while (own !== location.origin && shown.nextNode())
        if (shown.currentNode.data.includes(own))
            shown.currentNode.data = shown.currentNode.data.replaceAll(own, location.origin);
}

// A video that the server reads and this browser does not, as an AVI: a sentence in its place (page.css)
// instead of Gradio's error.
for (const name of ["error", "loadstart"])
    document.addEventListener(name, event => {
        if (!event.target.matches?.("#video video")) return;
        event.target.classList.toggle("unplayable", name === "error");
        if (name === "error") event.stopImmediatePropagation();
    }, true);

document.addEventListener("dragover", event => within(event, "#photo-shown") && event.preventDefault());
document.addEventListener("drop", event => {
    const input = document.querySelector("#photo-side input[type=file]");
    if (!within(event, "#photo-shown") || !event.dataTransfer.files.length || !input) return;
    event.preventDefault();
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
});
})();
