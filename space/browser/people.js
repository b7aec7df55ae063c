// What is shown of the faces: boxes over the picture, and a card for each person with bars and, live, a
// strip of the last half minute. All of it is in memory here, and goes with `clear`.

const KEPT = 30_000, STRIP_EVERY = 100, DRAWN_EVERY = 250;  // ms
const PEOPLE = 4, BARS = 8;  // most that are shown live

export class People {
    seen = new Map();
    drawn = 0;

    // model: of model.json
    constructor(boxes, cards, model) {
        Object.assign(this, {boxes, cards, model});
    }

    clear() {
        this.seen.clear();
        this.boxes.replaceChildren();
        this.cards.replaceChildren();
    }

    photo({faces, size}) {
        this.clear();
        showBoxes(this.boxes, faces, size, false, this.model);
        for (const face of faces) fill(card(this.cards, face.person), "Face", face, false, this.model);
    }

    frame({faces, size}, now, mirrored) {
        showBoxes(this.boxes, faces, size, mirrored, this.model);
        for (const face of faces) {
            const known = this.seen.get(face.person) ?? {points: []};
            Object.assign(known, {face, time: now});
            if (now - (known.points.at(-1)?.[0] ?? 0) >= STRIP_EVERY) known.points.push([now, face.shares]);
            this.seen.set(face.person, known);
        }
        for (const {points} of this.seen.values())
            while (points.length && now - points[0][0] > KEPT) points.shift();
        const latest = [...this.seen].sort(([a, one], [b, other]) => other.time - one.time || a - b);
        this.seen = new Map(latest.filter(([, {points}]) => points.length).slice(0, PEOPLE));
        if (now - this.drawn > DRAWN_EVERY) this.#showCards(now);
    }

    #showCards(now) {
        this.drawn = now;
        const cards = remaining(this.cards, [...this.seen.keys()]);
        for (const id of [...this.seen.keys()].sort((a, b) => a - b)) {
            const {face, time, points} = this.seen.get(id), node = cards.get(id) ?? stripCard(this.cards, id);
            fill(node, "Person", face, now - time > 1000, this.model);
            strip(node.querySelector("canvas"), points, now, this.model, id);
        }
    }
}

function make(tag, name = "", text = "") {
    return Object.assign(document.createElement(tag), {className: name, textContent: text});
}

const percent = share => `${Math.round(100 * share)}%`;

// The nodes of those who were there before, by their number: they move instead of being replaced.
function remaining(parent, ids) {
    const nodes = new Map([...parent.children].map(node => [+node.dataset.id, node]));
    for (const [id, node] of nodes)
        if (!ids.includes(id)) node.remove();
    return nodes;
}

function showBoxes(boxes, faces, size, mirrored, model) {
    const nodes = remaining(boxes, faces.map(face => face.person));
    for (const face of faces) {
        const node = nodes.get(face.person) ?? make("div");
        if (!node.isConnected) {
            node.dataset.id = face.person;
            node.append(make("span"));
            boxes.append(node);
        }
        place(node, face, size, mirrored, model);
    }
}

function place(node, {box: [left, top, right, bottom], ...face}, [width, height], mirrored, model) {
    const start = mirrored ? width - right : left;
    node.classList.toggle("inside", top < 0.12 * height);
    node.classList.toggle("leftwards", start > 0.6 * width);
    Object.assign(node.style, {
        left: percentage(start / width),
        top: percentage(top / height),
        width: percentage((right - left) / width),
        height: percentage((bottom - top) / height),
        borderColor: model.colors[model.classes.indexOf(face.label)],
    });
    node.firstChild.textContent =
        `${face.person}  ${face.label} ${percent(face.score)}${face.uncertain ? " ?" : ""}`;
}

const percentage = share => `${100 * share}%`;

function card(cards, id) {
    const node = make("section", "person");
    node.append(make("h2"), make("div", "bars"));
    node.dataset.id = id;
    cards.append(node);
    return node;
}

function stripCard(cards, id) {
    const node = card(cards, id), picture = make("canvas"), span = make("div", "span");
    picture.setAttribute("role", "img");
    span.append(make("span", "", "30 s ago"), make("span", "", "now"));
    node.append(picture, span);
    return node;
}

function fill(node, noun, face, gone, model) {
    node.classList.toggle("gone", gone);
    const words = gone ? "out of sight" : `${face.label} ${percent(face.score)}`;
    const title = node.querySelector("h2");
    title.textContent = `${noun} ${face.person} · ${words}`;
    if (face.uncertain && !gone) title.append(make("em", "unsure", "uncertain"));
    const shown = [...model.classes.keys()]
        .sort((a, b) => face.shares[b] - face.shares[a]).slice(0, BARS).sort((a, b) => a - b);
    node.querySelector(".bars").replaceChildren(...shown.map(label => bar(label, face, model)));
}

function bar(label, face, model) {
    const name = model.classes[label], share = face.shares[label];
    const row = make("div", name === face.label ? "row first" : "row"), whole = make("span", "bar");
    const filled = make("i");
    Object.assign(filled.style, {width: percent(share), background: model.colors[label]});
    whole.append(filled);
    whole.setAttribute("aria-hidden", "true");
    row.append(make("span", "", name), whole, make("span", "share", percent(share)));
    return row;
}

function strip(picture, points, now, model, id) {
    const width = picture.width = 2 * picture.clientWidth, height = picture.height = 88;
    const context = picture.getContext("2d"), across = time => width * (1 - (now - time) / KEPT);
    let below = points.map(() => 0);
    const totals = model.classes.map((_, label) => {
        const above = points.map(([, shares], i) => below[i] + shares[label]);
        context.beginPath();
        points.forEach(([time], i) => context.lineTo(across(time), height * (1 - above[i])));
        for (let i = points.length - 1; i >= 0; i--)
            context.lineTo(across(points[i][0]), height * (1 - below[i]));
        context.fillStyle = model.colors[label];
        context.fill();
        below = above;
        return points.reduce((sum, [, shares]) => sum + shares[label], 0);
    });
    const most = model.classes[totals.indexOf(Math.max(...totals))];
    picture.setAttribute("aria-label", `Person ${id}, the last 30 seconds: most of all ${most}`);
}
