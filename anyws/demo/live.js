"use strict";

const $ = (id) => document.getElementById(id);

/** The address of a path on this host, as a WebSocket's. */
const socketURL = (path) => location.origin.replace(/^http/, "ws") + path;

/** A WebSocket that opens itself again, with growing pauses, until the page goes. */
class LiveSocket {
  constructor(path, { opened, received, changed }) {
    Object.assign(this, { path, opened, received, changed, failures: 0, timer: 0, why: "", socket: null });
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.changed("connecting", this.failures ? "Reconnecting" : "Connecting");
    const socket = (this.socket = new WebSocket(socketURL(this.path)));
    socket.onopen = () => {
      this.failures = 0;
      this.changed("open", "Connected");
      this.opened();
    };
    socket.onmessage = (event) => this.received(JSON.parse(event.data));
    socket.onclose = (event) => this.closed(event);
  }

  closed(event) {
    if (!this.failures) {
      this.why =
        event.code === 1001 ? "Server stopped" : event.reason ? `Closed: ${event.reason}` : "Disconnected";
    }
    this.failures += 1;
    // Half of the pause is chance, so that the pages of a restarted server do not all come at once.
    const pause = Math.min(8, 0.5 * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.wait(performance.now() + pause * 1000);
  }

  wait(until) {
    const left = until - performance.now();
    if (left <= 0) {
      this.open();
      return;
    }
    this.changed("waiting", `${this.why}, again in ${Math.ceil(left / 1000)} s`);
    this.timer = setTimeout(() => this.wait(until), Math.min(left, 1000));
  }

  /** Try now, if the socket is waiting to. */
  hurry() {
    if (this.socket.readyState === WebSocket.CLOSED) {
      this.open();
    }
  }

  send(message) {
    const open = this.socket.readyState === WebSocket.OPEN;
    if (open) {
      this.socket.send(JSON.stringify(message));
    }
    return open;
  }
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const milliseconds = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0));

/** Times of round trips over the last minute, drawn on a canvas and summed up in a table. */
class Plot {
  constructor(canvas, series) {
    this.canvas = canvas;
    this.span = 60_000;
    this.series = series.map(([row, colour]) => ({ row, colour, points: [] }));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    setInterval(() => this.draw(), 250);
  }

  add(index, value) {
    const series = this.series[index];
    series.points.push([performance.now(), value]);
    this.forget();
    const values = series.points.map((point) => point[1]).filter((time) => time >= 0);
    const figures = [value, Math.min(...values), median(values), Math.max(...values)];
    [...series.row.cells].slice(1).forEach((cell, i) => (cell.textContent = milliseconds(figures[i])));
  }

  /** Leave a gap in the lines: nothing was measured here. */
  gap() {
    this.series.forEach(({ points }) => points.push([performance.now(), NaN]));
  }

  forget() {
    const oldest = performance.now() - this.span - 2000;
    for (const series of this.series) {
      series.points = series.points.filter((point) => point[0] >= oldest);
    }
  }

  top() {
    const values = this.series.flatMap(({ points }) => points.map((point) => point[1]).filter((v) => v >= 0));
    const most = Math.max(0.5, ...values) * 1.1;
    const unit = 10 ** Math.floor(Math.log10(most));
    return unit * [1, 2, 3, 5, 10].find((factor) => factor * unit >= most);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || document.hidden) {
      return;
    }
    const ratio = devicePixelRatio || 1;
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) {
      [this.canvas.width, this.canvas.height] = pixels;
    }
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const area = { left: 34, top: 8, width: width - 36, height: height - 28, now: performance.now(), most: this.top() };
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.drawGrid(pen, area, colour);
    pen.save();
    pen.beginPath();
    pen.rect(area.left, 0, area.width + 2, height);
    pen.clip();
    for (const series of this.series) {
      this.drawLine(pen, area, series.points, colour(series.colour));
    }
    pen.restore();
  }

  drawGrid(pen, { left, top, width, height, most }, colour) {
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour("--soft");
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let step = 0; step <= 4; step += 2) {
      const y = Math.round(top + height - (height * step) / 4) + 0.5;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(left + width, y);
      pen.stroke();
      pen.fillText(String(+((most * step) / 4).toPrecision(3)), left - 7, y);
    }
    pen.textBaseline = "top";
    for (const seconds of [60, 45, 30, 15, 0]) {
      pen.textAlign = seconds === 60 ? "left" : seconds ? "center" : "right";
      pen.fillText(seconds ? `−${seconds} s` : "now", left + width * (1 - seconds / 60), top + height + 7);
    }
  }

  drawLine(pen, { left, top, width, height, now, most }, points, colour) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.6;
    pen.lineJoin = "round";
    pen.beginPath();
    let joined = false;
    let last = null;
    for (const [time, value] of points) {
      if (Number.isNaN(value)) {
        joined = false;
        continue;
      }
      last = [left + width * (1 - (now - time) / this.span), top + height * (1 - value / most)];
      pen[joined ? "lineTo" : "moveTo"](...last);
      joined = true;
    }
    pen.stroke();
    if (last && joined) {
      pen.beginPath();
      pen.arc(Math.min(last[0], left + width - 3), last[1], 3, 0, 7);
      pen.fill();
    }
  }
}
