
const PART = 1 << 20;
const AHEAD = 4 * PART;
const LARGEST = 512 << 20;

/* Names and messages */

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const freshName = () =>
  `${pick(["Amber", "Brisk", "Calm", "Dapper", "Eager", "Fair", "Gentle", "Jolly", "Quiet", "Swift"])} ` +
  pick(["Badger", "Curlew", "Finch", "Hare", "Heron", "Lynx", "Marten", "Otter", "Plover", "Wren"]);

// Each tab is somebody else, but stays the same one when it is loaded again.
$("name").value = sessionStorage.getItem("name") || freshName();
let ownName = $("name").value;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const hue = (name) => [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

function append(node) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  $("empty").hidden = true;
  log.append(node);
  while (log.childElementCount > 400) {
    log.children[1].remove();
  }
  if (atEnd || node.classList.contains("mine")) {
    log.scrollTop = log.scrollHeight;
  }
}

function showMessage({ name, text, time }) {
  const when = new Date(time * 1000);
  const previous = $("log").lastElementChild;
  const follows = previous.dataset.name === name && time - previous.dataset.time < 60;
  const said = element(
    "article",
    { className: `said${name === ownName ? " mine" : ""}${follows ? " more" : ""}`, title: when.toLocaleString() },
    element("header", {}, element("b", { textContent: name }), element("time", { textContent: clock.format(when), dateTime: when.toISOString() })),
    element("p", { textContent: text }),
  );
  said.style.setProperty("--hue", hue(name));
  Object.assign(said.dataset, { name, time });
  append(said);
}

const notice = (text, time = Date.now() / 1000) =>
  append(element("p", { className: "notice", textContent: `${text} · ${clock.format(new Date(time * 1000))}` }));

function showPeople(people) {
  $("people").textContent = `${people.length} here: ${people.join(", ")}`;
  $("people").title = people.join("\n");
}

const received = {
  welcome({ name, people, history }) {
    ownName = $("name").value = name;
    showPeople(people);
    document.querySelectorAll(".said, .notice").forEach((node) => node.remove());
    history.forEach(showMessage);
    notice(`You are here as ${name}`);
  },
  message: showMessage,
  notice({ event, name, to, people, time }) {
    if (name === ownName && to) {
      ownName = $("name").value = to;
    }
    showPeople(people);
    notice(to ? `${name} is now ${to}` : `${name} ${event}`, time);
  },
  pong({ id }) {
    plot.add(0, performance.now() - id);
  },
  rtt({ ms }) {
    plot.add(1, ms);
  },
};

const plot = new Plot($("plot"), [
  [$("row-message"), "--accent"],
  [$("row-ping"), "--second"],
]);

const live = new LiveSocket("/chat", {
  opened: () => live.send({ type: "hello", name: $("name").value }),
  received: (message) => received[message.type]?.(message),
  changed(state, text) {
    $("state").dataset.state = state;
    $("state-text").textContent = text;
    $("send").disabled = state !== "open";
    if (state !== "open") {
      $("people").textContent = "";
      plot.gap();
    }
  },
});

setInterval(() => live.send({ type: "ping", id: performance.now() }), 1000);

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && live.send({ type: "say", text })) {
    $("text").value = "";
  }
});

$("name").addEventListener("change", () => {
  const name = $("name").value.trim();
  sessionStorage.setItem("name", name);
  live.send({ type: "hello", name });
});

/* The file */

const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

async function checksum(blob) {
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send `file` and resolve to what came back; `progress` gets the bytes sent and returned. */
function thereAndBack(file, progress) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(socketURL("/upload"));
    const parts = [];
    let handed = 0;
    let returned = 0;
    const sendOn = () => {
      // One message would come back only when it is whole: parts show the progress, and no
      // more than a few of them are under way at a time.
      while (handed < file.size && handed - returned < AHEAD) {
        const part = file.slice(handed, handed + PART);
        socket.send(part);
        handed += part.size;
      }
      progress(Math.max(returned, handed - socket.bufferedAmount), returned);
      if (returned === file.size) {
        socket.close(1000);
      }
    };
    socket.binaryType = "blob";
    socket.onopen = sendOn;
    socket.onmessage = ({ data }) => {
      parts.push(data);
      returned += data.size;
      sendOn();
    };
    socket.onclose = ({ code, reason }) =>
      returned === file.size ? resolve(new Blob(parts)) : reject(new Error(reason || `connection closed (${code})`));
  });
}

function showProgress(file, started) {
  return (sent, returned) => {
    for (const [id, count] of [["up", sent], ["down", returned]]) {
      $(id).value = file.size ? count / file.size : 1;
      $(`${id}-text`).textContent = `${size(count)} of ${size(file.size)}`;
    }
    const seconds = (performance.now() - started) / 1000;
    $("rate").textContent = seconds > 0.05 ? `${size((sent + returned) / seconds)}/s both ways` : "";
  };
}

function verdict(state, text, sum = "–") {
  $("verdict").dataset.state = state;
  $("verdict").textContent = text;
  $("sum").textContent = $("sum").title = sum;
}

async function send(file) {
  if ($("file").disabled) {
    return;
  }
  $("file-name").textContent = file.name;
  if (file.size > LARGEST) {
    verdict("failed", `Too large: at most ${size(LARGEST)} here`);
    return;
  }
  $("file").disabled = true;
  $("drop").classList.add("busy");
  $("file-note").textContent = "On its way";
  verdict("busy", "Checksums follow");
  try {
    const before = await checksum(file);
    const back = await thereAndBack(file, showProgress(file, performance.now()));
    const after = await checksum(back);
    verdict(before === after ? "equal" : "different", before === after ? "✓ Equal" : "✗ Different", after);
    $("file-note").textContent = "There and back. Choose or drop another one.";
  } catch (error) {
    verdict("failed", `✗ Failed: ${error.message}`);
    $("file-note").textContent = "Choose or drop it again.";
  } finally {
    $("file").disabled = false;
    $("file").value = "";
    $("drop").classList.remove("busy");
  }
}

$("file").addEventListener("change", ({ target }) => target.files[0] && send(target.files[0]));
for (const [kind, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files[0]) {
      send(event.dataTransfer.files[0]);
    }
  });
}
