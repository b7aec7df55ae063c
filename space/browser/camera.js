// The visitor's camera.

const REFUSED = {
    NotAllowedError: "The camera was not allowed. Allow it beside the page's address, then start.",
    NotFoundError: "No camera was found.",
    NotReadableError: "The camera is in use by another program.",
};

export class Camera {
    stream = null;
    facing = "user";

    constructor(video, lost) {
        this.video = video;
        this.lost = lost;
    }

    // Throws an error whose message is for the visitor.
    async start() {
        if (!navigator.mediaDevices)
            throw Error("No camera: browsers give one only to pages that come by HTTPS or from this machine.");
        const size = {width: {ideal: 640}, height: {ideal: 480}};
        try {
            this.stream = await navigator.mediaDevices.getUserMedia(
                {video: this.device ? {...size, deviceId: {exact: this.device}} : {...size, facingMode: this.facing}});
        } catch (error) {
            throw Error(REFUSED[error.name] ?? `The camera does not start: ${error.message}`);
        }
        const [track] = this.stream.getVideoTracks();
        track.onended = this.lost;
        this.facing = track.getSettings().facingMode ?? this.facing;
        this.video.srcObject = this.stream;
        await this.video.play();
        const devices = await navigator.mediaDevices.enumerateDevices();
        this.all = devices.filter(({kind}) => kind === "videoinput").map(({deviceId}) => deviceId);
        this.current = track.getSettings().deviceId;
    }

    stop() {
        this.stream?.getTracks().forEach(track => track.stop());
        this.stream = this.video.srcObject = null;
    }

    // A phone's front or back; elsewhere the next one.
    async turn() {
        const phone = this.stream.getVideoTracks()[0].getSettings().facingMode;
        this.stop();
        if (phone) this.facing = phone === "user" ? "environment" : "user";
        else this.device = this.all[(this.all.indexOf(this.current) + 1) % this.all.length];
        await this.start();
    }
}
