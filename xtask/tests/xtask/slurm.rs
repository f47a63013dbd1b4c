//! Submissions, to a Slurm that is three scripts which write down what they are asked.
#![cfg(unix)]

use super::{CONFIG, Workspace, binaries};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// Says a job's number for each call, as often as the file `jobs` has lines.
const SBATCH: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/asked"
job=$(head -n 1 "$here/jobs")
[ -n "$job" ] || { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }
sed -i 1d "$here/jobs"
echo "$job;a-cluster"
"#;

const SCONTROL: &str = r#"#!/bin/sh
if [ "$1" = show ]; then
    echo "Configuration data as of 2026-11-28T00:00:00"
    echo "MaxArraySize            = 4"
    echo "MaxJobCount             = 10000"
else
    echo "$@" >>"$(dirname "$0")/requeued"
fi
"#;

const SQUEUE: &str = r#"#!/bin/sh
cat "$(dirname "$0")/queue"
"#;

/// Plans as the task does, and trains nothing: it says how it was started, and waits for a signal where there is a file
/// `wait` beside it.
const TASK: &str = r#"#!/bin/sh
if [ "$1" = plan ]; then exec "$REAL/classification" plan; fi
echo "$@, $RAYON_NUM_THREADS threads, $(basename "$0")"
trap 'echo USR1; exit 75' USR1
trap 'echo TERM; exit 75' TERM
[ -f wait ] || exit 3
echo waits
while :; do sleep 0.02; done
"#;

struct Cluster(Workspace);

impl Cluster {
    fn new() -> Self {
        let cluster = Self(Workspace::new(CONFIG));
        let programs = [("slurm/sbatch", SBATCH), ("slurm/scontrol", SCONTROL), ("slurm/squeue", SQUEUE)];
        for (name, text) in programs.into_iter().chain([("task/classification", TASK)]) {
            cluster.0.write(name, text);
            std::fs::set_permissions(cluster.0.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        cluster.0.write("slurm/queue", "");
        cluster.0.write("slurm/jobs", "71\n72\n73\n");
        cluster
    }

    fn xtask(&self, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.0.path("slurm").display(), std::env::var("PATH").unwrap());
        let mut command = self.0.command(arguments);
        command.env("WRS_BENCH_BIN", self.0.path("task")).env("REAL", binaries()).env("PATH", path);
        command.output().unwrap()
    }

    /// Exit code, what is printed, and what is said.
    fn submit(&self) -> (i32, String, String) {
        let output = self.xtask(&["bench", "classification", "--slurm"]);
        let [said, told] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        (output.status.code().unwrap(), said, told)
    }

    /// What the files in `runs/slurm` with `extension` hold, in the order of their submission.
    fn files(&self, said: &str, extension: &str) -> Vec<String> {
        let names = said.lines().map(|line| line.rsplit_once("  ").unwrap().1.replace(".sh", extension));
        names.map(|name| self.0.read(&name)).collect()
    }

    /// Has `squeue` say that the elements of the first array are `states`.
    fn queue(&self, said: &str, states: &[&str]) {
        let name = said.lines().next().unwrap().rsplit_once('/').unwrap().1.strip_suffix(".sh").unwrap().to_owned();
        let lines = states.iter().enumerate().map(|(element, state)| format!("{name}|{element}|{state}\n"));
        let others = "other|N/A|RUNNING|None\nwrs-bench-0123456789ab|0|RUNNING|None\n";
        self.0.write("slurm/queue", &lines.chain([others.to_owned()]).collect::<String>());
    }
}

#[test]
fn what_is_missing_and_not_queued_is_submitted_in_arrays_as_large_as_the_site_allows() {
    let cluster = Cluster::new();
    cluster.0.write("slurm.toml", "time = '10:00'\ncpus = 2\njobs = 3\nlines = ['#SBATCH --qos=long']\n");
    let (code, said, told) = cluster.submit();
    assert_eq!(code, 0, "{told}");
    let shown: Vec<&str> = said.lines().map(|line| line.rsplit_once("  ").unwrap().0).collect();
    assert_eq!(shown, ["71  4 elements", "72  2 elements"]);
    assert!(told.contains("6 runs, 6 of them to train") && told.contains("submitted 6 as jobs 71, 72"), "{told}");
    let (plans, scripts) = (cluster.files(&said, ".plan"), cluster.files(&said, ".sh"));
    let ids: Vec<&str> =
        plans.iter().flat_map(|plan| plan.lines()).map(|line| line.strip_prefix("run ").unwrap()).collect();
    assert_eq!(plans.iter().map(|plan| plan.lines().count()).collect::<Vec<_>>(), [4, 2]);
    assert!(ids.iter().all(|id| cluster.0.path(&format!("runs/{id}/spec.json")).exists()));
    for (script, elements) in scripts.iter().zip(["0-3%1", "0-1%1"]) {
        let options = [&format!("array={elements}"), "time=10:00", "cpus-per-task=2", "qos=long", "signal=B:USR1@90"];
        assert!(options.iter().all(|option| script.contains(&format!("#SBATCH --{option}\n"))), "{script}");
    }

    cluster.queue(&said, &["RUNNING|None", "PENDING|Resources", "PENDING|JobArrayTaskLimit", "COMPLETING|None"]);
    let (_, again, told) = cluster.submit();
    assert!(told.contains("4 of them are queued already"), "{told}");
    assert_eq!(cluster.files(&again, ".plan"), plans[1..], "only the second array's");

    let status = cluster.xtask(&["status", "classification"]);
    let (list, counts) = (String::from_utf8(status.stdout).unwrap(), String::from_utf8(status.stderr).unwrap());
    assert!(
        list.lines().any(|line| line.ends_with("  queue: pending (Resources)") && line.starts_with(ids[1])),
        "{list}"
    );
    assert!(counts.contains("queue: 1 completing, 2 pending, 1 running"), "{counts}");
    let status = cluster.xtask(&["status", "classification", "--json"]);
    let list: Vec<serde_json::Value> = serde_json::from_slice(&status.stdout).unwrap();
    let queued = |id: &str| &list.iter().find(|run| run["id"] == id).unwrap()["queue"];
    assert_eq!(queued(ids[1]), &serde_json::json!({"state": "PENDING", "reason": "Resources"}));
    assert!(queued(ids[5]).is_null());

    cluster.0.write("slurm/jobs", "");
    cluster.queue(&said, &["RUNNING|None"; 4]);
    let lines = cluster.0.read("slurm/queue")
        + &cluster.0.read("slurm/queue").replace(&plan_name(&said, 0), &plan_name(&said, 1));
    cluster.0.write("slurm/queue", &lines);
    let (code, again, told) = cluster.submit();
    assert_eq!((code, again.as_str()), (0, ""), "{told}");
    assert!(told.contains("nothing to submit"), "{told}");
}

fn plan_name(said: &str, array: usize) -> String {
    said.lines().nth(array).unwrap().rsplit_once('/').unwrap().1.strip_suffix(".sh").unwrap().to_owned()
}

#[test]
fn what_goes_wrong_is_explained() {
    let cluster = Cluster::new();
    // The user's limit is reached in between.
    cluster.0.write("slurm/jobs", "71\n");
    let (code, said, told) = cluster.submit();
    assert_eq!((code, said.lines().count()), (1, 1), "{told}");
    assert!(
        told.contains("submitted 4 of 6 in 1 of 2 arrays") && told.contains("QOSMaxSubmitJobPerUserLimit"),
        "{told}"
    );
    assert!(told.contains("hint: the same command submits what is missing"), "{told}");

    cluster.0.write("slurm/squeue", "#!/bin/sh\necho 'slurm_load_jobs error' >&2\nexit 1\n");
    cluster.0.write("slurm/jobs", "72\n73\n");
    std::fs::set_permissions(cluster.0.path("slurm/squeue"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said, told) = cluster.submit();
    assert_eq!((code, said.lines().count()), (0, 2), "{told}");
    assert!(
        told.contains("warning: what is queued is not known: `squeue` failed") && told.contains("trains nothing twice")
    );

    cluster.0.write("slurm.toml", "cpu = 4\n");
    let (code, _, told) = cluster.submit();
    assert!(code == 2 && told.contains("slurm.toml: ") && told.contains("unknown field `cpu`"), "{told}");
    std::fs::remove_file(cluster.0.path("slurm.toml")).unwrap();

    let mut command = cluster.0.command(&["bench", "classification", "--slurm"]);
    let output = command.env("PATH", cluster.0.path("configs")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("cannot start `scontrol`\n  hint: "), "{told}");
}

/// The script of an array, started as Slurm would, and the signal that it is sent.
fn element(cluster: &Cluster, script: &str, restarts: u32, signal: Option<&str>) -> (Option<i32>, String) {
    use std::io::{BufRead, BufReader, Read};
    let path = format!("{}:{}", cluster.0.path("slurm").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(cluster.0.path(script)).current_dir(cluster.0.path("")).env("PATH", path).stdout(Stdio::piped());
    let name = script.rsplit_once('/').unwrap().1.strip_suffix(".sh").unwrap();
    command.env("SLURM_JOB_NAME", name).env("SLURM_ARRAY_JOB_ID", "71").env("SLURM_ARRAY_TASK_ID", "2");
    command.env("SLURM_CPUS_PER_TASK", "5").env("SLURM_RESTART_COUNT", restarts.to_string());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    output.read_line(&mut said).unwrap();
    if let Some(signal) = signal {
        output.read_line(&mut said).unwrap();
        assert!(Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap().success());
    }
    output.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_script_hands_on_signals_and_queues_again_what_was_interrupted() {
    let cluster = Cluster::new();
    cluster.0.write("slurm.toml", "requeues = 3\n");
    let (_, said, _) = cluster.submit();
    let script = said.lines().next().unwrap().rsplit_once("  ").unwrap().1.to_owned();
    let id = cluster.files(&said, ".plan")[0].lines().nth(2).unwrap().replace("run ", "");
    let requeued = || std::fs::read_to_string(cluster.0.path("slurm/requeued")).unwrap_or_default();

    let (code, said) = element(&cluster, &script, 0, None);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.starts_with(&format!("run runs/{id}, 5 threads, classification-")), "{said}");

    cluster.0.write("wait", "");
    let (code, said) = element(&cluster, &script, 0, Some("USR1"));
    assert!(code == Some(75) && said.ends_with("waits\nUSR1\n"), "{said}");
    assert_eq!(requeued(), "requeue 71_2\n");
    // Who cancels a job does not want it back.
    let (code, said) = element(&cluster, &script, 0, Some("TERM"));
    assert!(code == Some(75) && said.ends_with("waits\nTERM\n"), "{said}");
    assert_eq!(requeued(), "requeue 71_2\n");
    let (code, _) = element(&cluster, &script, 3, Some("USR1"));
    assert_eq!((code, requeued().as_str()), (Some(75), "requeue 71_2\n"));
}
