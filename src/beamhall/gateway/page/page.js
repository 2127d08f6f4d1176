// What runs, on which resources, with logs. Text goes in as textContent only: names and logs are other people's input.
const JOB_KINDS = [["/apis/kubeflow.org/v1/tfjobs", "TFJob"], ["/apis/batch/v1/jobs", "Job"]];
const PERIOD_MS = 2000;
const LOG_LINES = 500;
let shown = null;

async function items(path) {
  const answer = await fetch("k8s" + path);
  if (!answer.ok) throw new Error(`${path}: ${(await answer.json()).message}`);
  return (await answer.json()).items;
}

function row(cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    td.append(cell instanceof Node ? cell : String(cell ?? ""));
    tr.append(td);
  }
  return tr;
}

function fill(id, rows, nothing) {
  const body = document.querySelector(`#${id} tbody`);
  if (!rows.length) {
    const empty = row([nothing]);
    empty.firstChild.className = "empty";
    empty.firstChild.colSpan = 9;
    rows = [empty];
  }
  body.replaceChildren(...rows);
}

function age(time) {
  const s = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  return s < 120 ? `${Math.round(s)}s` : s < 7200 ? `${Math.round(s / 60)}m` : s < 172800 ? `${Math.round(s / 3600)}h` : `${Math.round(s / 86400)}d`;
}

function gibibytes(memory) {
  return memory.endsWith("Ki") ? `${(parseInt(memory) / 2 ** 20).toFixed(1)} GiB` : memory;
}

function asked(pod, resource) {
  const found = pod.spec.containers.map((c) => c.resources?.requests?.[resource] ?? c.resources?.limits?.[resource]);
  return found.filter(Boolean).join(" + ");
}

function status(pod) {
  if (pod.metadata.deletionTimestamp) return "Terminating";
  const waiting = pod.status?.containerStatuses?.find((c) => c.state?.waiting?.reason);
  return waiting ? waiting.state.waiting.reason : (pod.status?.reason ?? pod.status?.phase);
}

function logButton(pod) {
  const button = document.createElement("button");
  button.textContent = "Show";
  button.ariaLabel = `Show the log of ${pod.metadata.name}`;
  button.onclick = () => { shown = pod.metadata; refreshLog(); };
  return button;
}

async function refreshLog() {
  if (!shown) return;
  const section = document.querySelector("#log");
  const path = `k8s/api/v1/namespaces/${shown.namespace}/pods/${shown.name}/log?tailLines=${LOG_LINES}`;
  const answer = await fetch(path);
  section.hidden = false;
  section.querySelector("h2").textContent = `Log of ${shown.namespace}/${shown.name}`;
  section.querySelector("pre").textContent = answer.ok ? await answer.text() : (await answer.json()).message;
}

async function refresh() {
  const [nodes, pods, ...jobs] = await Promise.all(["/api/v1/nodes", "/api/v1/pods", ...JOB_KINDS.map(([path]) => path)].map(items));
  document.querySelector("#node").textContent = nodes.map((n) => {
    const gpus = n.status.allocatable["nvidia.com/gpu"];
    return `${n.metadata.name}: ${n.status.allocatable.cpu} CPU, ${gibibytes(n.status.allocatable.memory)} memory${gpus ? `, ${gpus} GPU` : ""}`;
  }).join("; ");
  fill("jobs", jobs.flatMap((list, i) => list.map((job) => {
    const conditions = job.status?.conditions ?? [];
    const state = conditions.filter((c) => c.status === "True").at(-1)?.type ?? "Created";
    return row([job.metadata.namespace, JOB_KINDS[i][1], job.metadata.name, state, `${age(job.metadata.creationTimestamp)} ago`]);
  })), "No jobs yet. Submit one with kubectl create -f.");
  fill("pods", pods.map((pod) => row([
    pod.metadata.namespace, pod.metadata.name, status(pod), asked(pod, "cpu"), asked(pod, "memory"), asked(pod, "nvidia.com/gpu"),
    age(pod.metadata.creationTimestamp), logButton(pod),
  ])), "No Pods run.");
  await refreshLog();
}

async function loop() {
  try {
    await refresh();
  } catch (error) {
    document.querySelector("#node").textContent = `Cannot reach the service: ${error.message}`;
  }
  setTimeout(loop, PERIOD_MS);
}
loop();
