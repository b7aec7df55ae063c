// Faces followed from frame to frame, as prediction/following.py does: one person keeps one number and
// smoothed probabilities. Everything that is remembered of a person is here, and ends with the follower.

import {overlap, sideOf} from "./detector.js";
import {judged} from "./expression.js";

const LEAST_OVERLAP = 0.3, LEAST_LIKENESS = 0.5, LOOK_SIDE = 8;
const PATIENCE = 1, SMOOTHING = 0.5;  // seconds

export class Follower {
    people = [];
    known = 0;
    last = -Infinity;  // time of the frame before

    // faces: with box, shares and look (of `look`). now: seconds. -> the same with person, smoothed.
    follow(faces, now, model) {
        // a slow device's frames may be further apart than a person may be out of sight
        this.people = this.people.filter(({time}) => now - time <= PATIENCE || time === this.last);
        this.last = now;
        const pairs = this.people.flatMap(person => faces.map(face =>
            ({person, face, shared: overlap(person.box, face.box)})))
            .filter(({person, face, shared}) =>
                shared >= LEAST_OVERLAP && likeness(person.look, face.look) >= LEAST_LIKENESS)
            .sort((a, b) => b.shared - a.shared);
        const matched = new Map();
        for (const {person, face} of pairs)
            if (!matched.has(face) && ![...matched.values()].includes(person)) matched.set(face, person);
        return faces.map(face => this.#seen(face, matched.get(face), now, model));
    }

    #seen(face, person, now, model) {
        if (!person) {
            person = {id: ++this.known, shares: face.shares, time: now};
            this.people.push(person);
        }
        const keep = now > person.time ? Math.exp(-(now - person.time) / SMOOTHING) : 0;
        person.shares = person.shares.map((share, i) => keep * share + (1 - keep) * face.shares[i]);
        Object.assign(person, {box: face.box, look: face.look, time: now});
        return {...face, ...judged(person.shares, sideOf(face.box), model), person: person.id};
    }
}

// A face's crop (see crop.js) -> what it looks like in few numbers, whatever the light's strength.
export function lookOf(crop, size) {
    const look = new Float32Array(LOOK_SIDE ** 2);
    for (let i = 0; i < size * size; i++) {
        const [x, y] = [i % size, i / size].map(place => Math.floor(place * LOOK_SIDE / size));
        look[y * LOOK_SIDE + x] += crop[3 * i] + crop[3 * i + 1] + crop[3 * i + 2];
    }
    const mean = look.reduce((a, b) => a + b) / look.length, apart = look.map(value => value - mean);
    const length = Math.hypot(...apart) || 1;
    return apart.map(value => value / length);
}

// Correlation of two looks, in [-1, 1].
function likeness(look, other) {
    return look.reduce((sum, value, i) => sum + value * other[i], 0);
}
