//! Case files: PyTorch's own outputs, and the collection of conformance cases.

use std::path::{Path, PathBuf};

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::case::{CaseFile, Content};
use wgpu_rnn::internals::diagnostics::verify::{Status, find, run_file, run_with};
use wgpu_rnn::{Device, Schedule, Tensor};

use crate::{Target, conformance, ensure};

fn fixtures_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch")
}

/// Runs cases; at least `least` must pass, none may fail or be unreadable.
fn all_pass(
    device: &Device,
    target: &Target,
    paths: impl IntoIterator<Item = PathBuf>,
    least: usize,
) -> Result<(), Failed> {
    let (mut passed, mut bad) = (0, Vec::new());
    for path in paths {
        let report = run_with(device, &path, &target.options());
        match report.status {
            Status::Pass => passed += 1,
            Status::Unsupported => {
                ensure(
                    report.reason.is_some_and(|r| !r.is_empty()),
                    format!("{}: no feature is named", report.id),
                )?;
            }
            _ => {
                bad.push(format!("{}: {}", report.id, report.reason.unwrap_or_default()));
            }
        }
    }
    ensure(bad.is_empty(), bad.join("\n"))?;
    ensure(passed >= least, format!("only {passed} cases passed, expected at least {least}"))
}

/// Returns the number of cases that a schedule must pass: all cases, all without projections, or
/// all with unidirectional stacks.
fn least(target: &Target, [all, unprojected, stacks]: [usize; 3]) -> usize {
    match target.schedule {
        Schedule::Wavefront => stacks,
        _ if target.projects() => all,
        _ => unprojected,
    }
}

fn least_fixtures(target: &Target) -> usize {
    least(target, [122, 110, 20])
}

pub fn fixtures(target: &Target) -> Result<(), Failed> {
    all_pass(&target.device()?, target, find(&[fixtures_folder()])?, least_fixtures(target))
}

/// The kernels with wgpu's run-time checks of indices and loops.
pub fn fixtures_with_runtime_checks(target: &Target) -> Result<(), Failed> {
    let device = target.open(&OpenOptions::default().runtime_checks(true))?;
    ensure(device.runtime_checks(), "the checks are on")?;
    all_pass(&device, target, find(&[fixtures_folder()])?, least_fixtures(target))
}

/// Runs all cases of the collection. A software adapter runs every fourth case by `step_tiled`,
/// whose whole tiles of few rows take it long, and by `auto`: schedules run all cases by name.
pub fn conformance(target: &Target) -> Result<(), Failed> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(conformance::part(""))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    folders.retain(|folder| {
        folder.is_dir() && !folder.ends_with("malformed") && !folder.ends_with("errors")
    });
    folders.sort();
    let some =
        target.is_software() && matches!(target.schedule, Schedule::Auto | Schedule::StepTiled);
    let (step, least) = if some { (4, 45) } else { (1, least(target, [205, 190, 23])) };
    let paths = find(&folders)?.into_iter().step_by(step);
    all_pass(&target.device()?, target, paths, least)
}

/// Alters each expected tensor in turn: the comparison must fail.
pub fn a_wrong_expectation_fails(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let paths = find(&[fixtures_folder()])?;
    let lstm = paths
        .iter()
        .find(|p| p.file_stem().is_some_and(|s| s.to_string_lossy().starts_with("wide_lstm")));
    let path = lstm.ok_or("there is no fixture wide_lstm")?;
    for which in 0..3 {
        for wrong in [0.125, f32::NAN, f32::INFINITY] {
            let mut file = CaseFile::open(path)?;
            let Content::Case(case) = &mut file.content else {
                return Err("wide_lstm is supported".into());
            };
            let tensor = &mut case.expected[which].tensor;
            let last = tensor.data().len() - 1;
            tensor.data_mut()[last] += wrong;
            let report = run_file(&device, &file, &target.options());
            ensure(
                report.status == Status::Fail,
                format!("expected tensor {which} altered by {wrong}: {report:?}"),
            )?;
        }
        let mut file = CaseFile::open(path)?;
        let Content::Case(case) = &mut file.content else {
            return Err("wide_lstm is supported".into());
        };
        let tensor = &mut case.expected[which].tensor;
        *tensor = Tensor::new(vec![tensor.data().len()], tensor.data().to_vec())?;
        let report = run_file(&device, &file, &target.options());
        ensure(
            report.status == Status::Fail,
            format!("expected tensor {which} of another shape: {report:?}"),
        )?;
    }
    Ok(())
}
