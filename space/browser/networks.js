// A worker (worker.js) that holds detector and network; it answers in order.

export class Networks {
    #asked = [];

    // The worker is made of a blob so that the page's content security policy, which names no other origin, is
    // the worker's too.
    constructor() {
        const code = `import ${JSON.stringify(new URL("worker.js", location).href)};`;
        this.url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
        this.worker = new Worker(this.url, {type: "module"});
        this.worker.onmessage = ({data}) => this.#asked.shift()(data);
        this.worker.onerror = () => this.#asked.shift()?.({failed: "this browser runs no worker of modules"});
    }

    // wanted: of engine.js.
    async load(model, wanted) {
        const {engines: [detector, network]} = await this.#ask({model, wanted});
        console.info(`Detector on ${detector}, network on ${network}`);
        URL.revokeObjectURL(this.url);
        return this;
    }

    // bitmap: handed over. options: see worker.js. -> {size, faces}
    look(bitmap, options) {
        return this.#ask({bitmap, ...options}, [bitmap]);
    }

    #ask(message, transferred = []) {
        return new Promise((done, fail) => {
            this.#asked.push(data =>
                data.failed ? fail(Error(`The networks do not run here: ${data.failed}.`)) : done(data));
            this.worker.postMessage(message, transferred);
        });
    }
}
