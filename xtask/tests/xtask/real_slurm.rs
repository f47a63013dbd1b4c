//! A Slurm of one node, started under a temporary folder, with everything that goes wrong.
#![cfg(unix)]

use super::{CONFIG, Workspace};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DAEMONS: [&str; 3] = ["munged", "slurmctld", "slurmd"];

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(100);

struct Slurm {
    folder: tempfile::TempDir,
    munged: Child,
    slurmctld: Child,
    slurmd: Child,
}

impl Slurm {
    /// `None`, saying so, where Slurm cannot be started.
    fn start(cores: usize) -> Option<Self> {
        let find = |name: &str| Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
        if let Some(missing) = DAEMONS.into_iter().chain(["sbatch"]).find(|name| !find(name).status.success()) {
            eprintln!("skipped: {missing} is not installed (Debian: slurmctld, slurmd, slurm-client, munge)");
            return None;
        }
        if !is_root() {
            eprintln!("skipped: slurmd starts as root only");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("slurm-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["state", "spool"] {
            files::create_folder(&folder.path().join(name)).unwrap();
        }
        files::write_atomic(&folder.path().join("key"), &[7; 128]).unwrap();
        permit(&folder.path().join("key"), 0o400);
        permit(folder.path(), 0o755);
        let host = String::from_utf8(Command::new("uname").arg("-n").output().unwrap().stdout).unwrap();
        let host = host.trim().split('.').next().unwrap().to_owned();
        // Three that are free now.
        let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let socket = path("munge.socket");
        let lines = [
            format!("ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={node}"),
            format!("AuthInfo=socket={socket}\nCredType=cred/munge\nSlurmUser=root\nSlurmdUser=root"),
            format!("StateSaveLocation={}\nSlurmdSpoolDir={}", path("state"), path("spool")),
            format!("SlurmctldPidFile={}\nSlurmdPidFile={}", path("slurmctld.pid"), path("slurmd.pid")),
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none".into(),
            "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none".into(),
            "JobRequeue=1\nReturnToService=2\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nSlurmdParameters=config_overrides".into(),
            // Shorter than what the default is, and than what is submitted.
            "MaxArraySize=4\nKillWait=5\nSchedulerParameters=sched_interval=2,batch_sched_delay=1".into(),
            format!("NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=500 State=UNKNOWN"),
            format!("PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP"),
        ];
        files::write_atomic(&folder.path().join("slurm.conf"), (lines.join("\n") + "\n").as_bytes()).unwrap();
        let munged = start(
            &folder,
            "munged",
            &[
                "--foreground",
                "--force",
                "--key-file",
                &path("key"),
                "--socket",
                &socket,
                "--pid-file",
                &path("munged.pid"),
                "--log-file",
                &path("munged.log"),
                "--seed-file",
                &path("munged.seed"),
            ],
        );
        until("munged's socket", || Path::new(&socket).exists());
        let slurmctld = Self::controller(&folder);
        let slurmd = start(&folder, "slurmd", &["-D", "-f", &path("slurm.conf"), "-N", &host]);
        let slurm = Self { folder, munged, slurmctld, slurmd };
        until("an idle node", || slurm.ask("sinfo", &["--noheader", "--format=%T"]).trim() == "idle");
        Some(slurm)
    }

    fn controller(folder: &tempfile::TempDir) -> Child {
        start(folder, "slurmctld", &["-D", "-f", &folder.path().join("slurm.conf").display().to_string()])
    }

    /// The controller dies, and another takes over its queue.
    fn restart_controller(&mut self) {
        self.slurmctld.kill().unwrap();
        self.slurmctld.wait().unwrap();
        self.slurmctld = Self::controller(&self.folder);
        until("the controller", || self.command("scontrol", &["ping"]).output().unwrap().status.success());
        until("its node", || !self.ask("sinfo", &["--noheader", "--format=%T"]).contains("unk"));
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8(self.command(program, arguments).output().unwrap().stdout).unwrap()
    }

    /// Array job and element, state, reason and plan of what is queued.
    fn queue(&self) -> Vec<[String; 4]> {
        let answer = self.ask("squeue", &["--noheader", "--array", "--format=%F_%K|%T|%r|%j"]);
        answer.lines().map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
    }

    /// Waits until the queue is empty; what was requeued need not wait two minutes.
    fn drain(&self) {
        until("an empty queue", || {
            let queue = self.queue();
            for [job, _, reason, _] in &queue {
                if reason == "BeginTime" {
                    self.ask("scontrol", &["update", &format!("JobId={job}"), "StartTime=now"]);
                }
            }
            queue.is_empty()
        });
    }

    fn bench(&self, workspace: &Workspace) -> Output {
        let mut command = workspace.command(&["bench", "classification", "--slurm"]);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.ask("scancel", &["--user=root"]);
        if std::thread::panicking() {
            for name in DAEMONS {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.said"))).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("{name}:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
        for daemon in [&mut self.slurmd, &mut self.slurmctld, &mut self.munged] {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn permit(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn start(folder: &tempfile::TempDir, program: &str, arguments: &[&str]) -> Child {
    let said = folder.path().join(format!("{program}.said"));
    let said = std::fs::OpenOptions::new().create(true).append(true).open(said).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn until(what: &str, is_there: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The process that trains a run now, by its lock, and the run's place in the queue.
fn trained(slurm: &Slurm, workspace: &Workspace) -> Option<(String, u64)> {
    slurm.queue().into_iter().filter(|[_, state, ..]| state == "RUNNING").find_map(|[job, _, _, plan]| {
        let element: usize = job.rsplit_once('_')?.1.parse().ok()?;
        let work = workspace.read(&format!("runs/slurm/{plan}.plan"));
        let id = work.lines().nth(element)?.strip_prefix("run ")?;
        let lock = std::fs::read_to_string(workspace.path(&format!("runs/{id}/lock"))).ok()?;
        let holder: Value = serde_json::from_str(&lock).ok()?;
        // It has a checkpoint, and most of its steps are to come.
        let has_begun = workspace.path(&format!("runs/{id}/checkpoint")).exists();
        has_begun.then(|| (job, holder["pid"].as_u64().unwrap()))
    })
}

/// What a record says of the result, by its run.
fn results(workspace: &Workspace) -> Vec<Value> {
    let records = workspace.read("reports/records/classification.jsonl");
    let result = |line: &str| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        entry["record"].as_object_mut().unwrap().retain(|key, _| !["provenance", "seconds"].contains(&key.as_str()));
        if let Some(test) = entry["test"].as_object_mut() {
            test.remove("provenance");
        }
        entry
    };
    records.lines().map(result).collect()
}

#[test]
fn whatever_happens_a_cluster_ends_with_the_records_of_one_machine() {
    let Some(mut slurm) = Slurm::start(2) else { return };
    let config = CONFIG.replace("epochs = 2", "epochs = 24");
    let cluster = Workspace::new(&config);
    cluster.write("slurm.toml", "cpus = 1\ntime = '10'\n");
    let first = String::from_utf8(slurm.bench(&cluster).stdout).unwrap();
    let sizes: Vec<&str> = first.lines().map(|line| line.split("  ").nth(1).unwrap()).collect();
    assert_eq!(sizes, ["4 elements", "2 elements"], "6 trials, of which an array may have 4");
    let queued = String::from_utf8_lossy(&slurm.bench(&cluster).stderr).into_owned();
    assert!(queued.contains("6 of them are queued already"), "{queued}");

    let kill = |signal: &str, pid: u64| Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    let caught = || {
        let found = std::cell::Cell::new(None);
        until("a run with a checkpoint", || {
            found.set(trained(&slurm, &cluster));
            let caught = found.take();
            let is_caught = caught.is_some();
            found.set(caught);
            is_caught
        });
        found.take().unwrap()
    };
    // Slurm does not queue it again.
    let (killed, pid) = caught();
    assert!(kill("-9", pid).success());
    until("the end of what was killed", || slurm.queue().iter().all(|[job, ..]| *job != killed));
    // What announces the end of the time limit.
    let (announced, _) = caught();
    slurm.ask("scancel", &["--batch", "--signal=USR1", &announced]);
    until("a run that is queued again", || {
        slurm.queue().iter().any(|[job, state, ..]| *job == announced && state == "PENDING")
    });
    slurm.restart_controller();
    slurm.drain();
    let log = cluster.succeed(&["status", "classification"]);
    // A controller that dies before it has written down that a job ended starts it again.
    let interrupted = log.lines().filter(|line| line.contains("interrupted")).count();
    assert!(interrupted <= 1, "at most the one that was killed: {log}");

    // The one that was killed, and what validation chooses, stage by stage.
    let mut stages = 0;
    while !cluster.path("reports/classification.md").exists() {
        assert!(stages < 8, "it does not come to an end");
        slurm.bench(&cluster);
        slurm.drain();
        stages += 1;
    }
    let last = slurm.bench(&cluster);
    assert!(String::from_utf8_lossy(&last.stderr).contains(", 0 of them to train"));
    assert!(slurm.queue().is_empty(), "a further submission submits something");

    let local = Workspace::new(&config);
    local.succeed(&["bench", "classification"]);
    assert_eq!(results(&cluster), results(&local));
}
