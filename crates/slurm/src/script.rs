//! The script of an array: plain shell that anybody can read, change and submit.

use super::site::Settings;
use std::path::Path;

/// What a script depends on.
pub(super) struct Script<'a> {
    pub(super) settings: &'a Settings,
    pub(super) plan: &'a str,
    pub(super) elements: usize,
    /// How many share the limit of runs at a time.
    pub(super) arrays: usize,
    pub(super) binary: &'a Path,
    pub(super) commit: &'a str,
}

/// The binary runs beside the shell, which hands it the signals and queues the run again: only where it was interrupted by
/// USR1, which announces the end of the time limit. TERM means that somebody canceled the job, or that Slurm preempts it
/// and queues it again itself.
const BODY: &str = r#"
plan=runs/slurm/$SLURM_JOB_NAME.plan
work=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$plan") || exit 1
if [ -z "$work" ]; then
    echo "error: expected a line for element $SLURM_ARRAY_TASK_ID in $plan on $(hostname), found none" >&2
    exit 1
fi
verb=${work% *} id=${work#* }
export RAYON_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

signal=none
trap 'signal=USR1; kill -USR1 "$child"' USR1
trap 'signal=TERM; kill -TERM "$child"' TERM
"$binary" "$verb" "runs/$id" &
child=$!
wait "$child"
code=$?
# A signal ends the waiting, not the run.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
if [ "$code" = 75 ] && [ "$signal" = USR1 ]; then
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "$requeues" ]; then
        trap '' TERM
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && exit 75
    fi
    echo "run $id is not queued again; the same \`bench --slurm\` submits it, and it goes on from its checkpoint" >&2
fi
exit "$code"
"#;

impl Script<'_> {
    pub(super) fn text(&self) -> String {
        let Self { settings, plan, elements, arrays, binary, commit } = self;
        let throttle = settings.jobs.map(|jobs| format!("%{}", (jobs / arrays).max(1))).unwrap_or_default();
        let mut text = String::from("#!/bin/sh\n# Written by `cargo xtask bench --slurm`.\n");
        let own = [
            format!("--job-name={plan}"),
            format!("--array=0-{}{throttle}", elements - 1),
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            "--signal=B:USR1@90".to_owned(),
            "--output=runs/slurm/%x-%a.out".to_owned(),
        ];
        for option in own.into_iter().chain(settings.options()) {
            text += &format!("#SBATCH {option}\n");
        }
        for line in &settings.lines {
            text += &format!("{line}\n");
        }
        text += &format!("binary={}\n", quoted(&binary.to_string_lossy()));
        text += &format!("requeues={}\n", settings.requeues);
        text += &format!("export {}={}\n", record::commit::VARIABLE, quoted(commit));
        text + BODY
    }
}

/// `text` as a word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_it_asks_for() {
        let settings = Settings {
            time: Some("1:00:00".into()),
            jobs: Some(7),
            lines: vec!["#SBATCH --qos=long".into(), "module load gcc".into()],
            ..Settings::default()
        };
        let binary = Path::new("/it's here/detection-0a");
        let script =
            Script { settings: &settings, plan: "wrs-bench-ab", elements: 3, arrays: 2, binary, commit: "c0ffee" };
        let text = script.text();
        insta::assert_snapshot!(text.strip_suffix(BODY).unwrap(), @r"
        #!/bin/sh
        # Written by `cargo xtask bench --slurm`.
        #SBATCH --job-name=wrs-bench-ab
        #SBATCH --array=0-2%3
        #SBATCH --requeue
        #SBATCH --open-mode=append
        #SBATCH --signal=B:USR1@90
        #SBATCH --output=runs/slurm/%x-%a.out
        #SBATCH --time=1:00:00
        #SBATCH --qos=long
        module load gcc
        binary='/it'\''s here/detection-0a'
        requeues=100
        export WRS_BENCH_COMMIT='c0ffee'
        ");
    }
}
