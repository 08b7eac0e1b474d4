//! The probe of how many workgroups a device runs at the same time. No API of wgpu reports it.

use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use wgpu::{Backend, DeviceType};

use crate::dtype::WeightType;
use crate::engine::gpu::{Gpu, VOLATILE};
use crate::engine::options::OpenOptions;
use crate::engine::session::{EngineRef, Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::kernel::families::{RESIDENCE_MOST, RESIDENCE_QUADS, RESIDENCE_WORKGROUP};
use crate::kernel::uniforms::{Dims, ResidenceDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use crate::plan::{Exchange, Resident};

/// Rounds in which all workgroups of a try wait for each other. One round could pass by luck.
const ROUNDS: u32 = 8;

/// Looks of an invocation before it gives up: about 1.5 ms on an H200, where a round that succeeds
/// takes 3 µs. A try that fails costs this time for each set of workgroups that run together.
const LOOKS: u32 = 8192;

/// Looks at a missing word before an invocation of a real run gives up: about 0.1 s on an H200.
const SPINS: u32 = 131_072;

/// The time after which the search is content with the largest count that passed.
const PATIENCE: Duration = Duration::from_millis(50);

/// The first count of workgroups that the search tries.
const FIRST: u32 = 8;

/// Probes a device and returns how its workgroups may exchange states. A fault of the driver in the
/// probe is a refusal.
pub(super) async fn exchange(gpu: &Arc<Gpu>, options: &OpenOptions, waiting: Waiting) -> Exchange {
    let info = gpu.info();
    let invocations = gpu.limits().max_compute_invocations_per_workgroup;
    if let Some(known) = unprobed(info.device_type, info.backend, invocations, options.persistent) {
        return known;
    }
    let workgroups = match count(gpu, waiting).await {
        Ok(0) => return Exchange::Refused("a probe found no workgroups that run at the same time"),
        Ok(workgroups) => workgroups,
        Err(error) => {
            log::warn!("{}: the probe for the schedule persistent failed: {error}", gpu.title());
            return Exchange::Refused("the driver refused the probe");
        }
    };
    log::debug!("{}: {workgroups} workgroups run at the same time", gpu.title());
    let features = gpu.device().features();
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    Exchange::Resident(Resident {
        workgroups,
        subgroup_size: if subgroups { info.subgroup_min_size } else { 0 },
        volatile: features.contains(VOLATILE),
        spins: SPINS,
    })
}

/// Returns how a device exchanges states if that is known without a probe.
fn unprobed(
    device_type: DeviceType,
    backend: Backend,
    invocations: u32,
    wanted: bool,
) -> Option<Exchange> {
    if device_type == DeviceType::Cpu {
        return Some(Exchange::OneStep);
    }
    let refused = if !wanted {
        "this device was opened without the probe"
    } else if !matches!(backend, Backend::Vulkan | Backend::Metal | Backend::Dx12) {
        "its backend is not Vulkan, Metal or Direct3D 12"
    } else if invocations < RESIDENCE_WORKGROUP as u32 {
        "its workgroups have fewer than 256 invocations"
    } else {
        return None;
    };
    Some(Exchange::Refused(refused))
}

/// Returns the largest count of workgroups that is known to run at the same time.
async fn count(gpu: &Arc<Gpu>, waiting: Waiting) -> Result<u32> {
    let start = Instant::now();
    let mut search = Search::default();
    while let Some(workgroups) = search.next_try() {
        search.answer(workgroups, passes(gpu, workgroups, waiting).await?);
        if start.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(search.passed)
}

/// Returns whether `workgroups` workgroups run at the same time and see each other's words.
async fn passes(gpu: &Arc<Gpu>, workgroups: u32, waiting: Waiting) -> Result<bool> {
    let engine = EngineRef::Gpu(gpu);
    let (recording, verdict) = recording(workgroups);
    let weights = Weights::load(engine, &[], |_| Vec::new())?;
    // New buffers hold zeros.
    let mut session = Session::new(Arc::new(recording), &weights)?;
    let mut found = [0; 2];
    let take = |(), words: &[f32]| {
        found.iter_mut().zip(words).for_each(|(found, word)| *found = word.to_bits());
    };
    session.complete(&[(verdict, ())], &[], waiting, take).await?;
    let [in_vain, ended] = found;
    Ok(in_vain == 0 && ended == workgroups)
}

/// Returns the recording of a try, and the buffer with its verdict.
fn recording(workgroups: u32) -> (Recording, BufferId) {
    let mut recording = Recording::default();
    let mut buffer = |label: &str, axes: &[(Axis, usize)], role| {
        recording.buffer(BufferSpec { label: label.to_owned(), axes: axes.to_vec(), role })
    };
    let held = [(Axis::Unit, RESIDENCE_QUADS), (Axis::Feature, RESIDENCE_WORKGROUP * 4)];
    let marks = [(Axis::Step, ROUNDS as usize), (Axis::Word, workgroups as usize)];
    let values = buffer("values", &held, Role::Scratch);
    let arrivals = buffer("arrivals", &marks, Role::Scratch);
    let verdict = buffer("verdict", &[(Axis::Word, 2)], Role::Output);
    recording.commands.push(Command::Dispatch(Dispatch {
        kernel: Kernel::new(Family::Residence, WeightType::F32),
        place: Place::default(),
        overrides: Overrides::default(),
        dims: Dims::Residence(ResidenceDims { rounds: ROUNDS, looks: LOOKS, keep: 0, pad: 0 }),
        bindings: vec![values, arrivals, verdict],
        workgroups: [workgroups, 1, 1],
        in_place: false,
    }));
    (recording, verdict)
}

/// The search for the largest count of workgroups that passes. A try that passes takes
/// microseconds, and one that fails takes milliseconds. The search therefore starts low.
#[derive(Debug, Default)]
struct Search {
    /// The largest count that passed; 0 before any.
    passed: u32,
    /// The smallest count that failed.
    failed: Option<u32>,
}

impl Search {
    /// Returns the next count to try, until the largest is known.
    fn next_try(&self) -> Option<u32> {
        let most = RESIDENCE_MOST as u32;
        match self.failed {
            None if self.passed >= most => None,
            None => Some((self.passed * 2).clamp(FIRST, most)),
            Some(failed) if failed - self.passed <= 1 => None,
            Some(failed) => Some(self.passed.midpoint(failed)),
        }
    }

    /// Records whether a count passed.
    fn answer(&mut self, workgroups: u32, passes: bool) {
        if passes {
            self.passed = workgroups;
        } else {
            self.failed = Some(workgroups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, DeviceType, Exchange, RESIDENCE_MOST, Search, unprobed};

    /// Searches with a closure, and returns the result, the tries and those that failed.
    fn search(mut passes: impl FnMut(u32) -> bool) -> (u32, u32, u32) {
        let mut search = Search::default();
        let (mut tries, mut failures) = (0, 0);
        while let Some(workgroups) = search.next_try() {
            let passed = passes(workgroups);
            search.answer(workgroups, passed);
            tries += 1;
            failures += u32::from(!passed);
            assert!(tries < 30, "the search does not end");
        }
        (search.passed, tries, failures)
    }

    #[test]
    fn the_search_finds_the_largest_count_in_few_tries() {
        for most in 0..=RESIDENCE_MOST as u32 {
            let (found, tries, failures) = search(|workgroups| workgroups <= most);
            assert_eq!(found, most, "in {tries} tries");
            assert!(tries <= 17 && failures <= 10, "{most}: {tries} tries, {failures} failures");
        }
        assert_eq!(search(|_| false), (0, 4, 4), "8, 4, 2 and 1");
        assert_eq!(search(|_| true), (1024, 8, 0), "8, 16 and so on");
        let (found, _, failures) = search(|workgroups| workgroups <= 132);
        assert_eq!((found, failures), (132, 7), "the cores of an H200");
    }

    #[test]
    fn a_search_ends_with_a_count_that_passed_even_on_a_moody_device() {
        for seed in 0..200_u32 {
            let mut state = seed;
            let mut passed = vec![0];
            let (found, ..) = search(|workgroups| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let passes = state >> 31 == 0;
                passed.extend(passes.then_some(workgroups));
                passes
            });
            assert!(passed.contains(&found), "{found} of {passed:?}");
        }
    }

    #[test]
    fn only_gpus_of_native_backends_are_probed() {
        let (gpu, vulkan) = (DeviceType::DiscreteGpu, Backend::Vulkan);
        let software = unprobed(DeviceType::Cpu, Backend::Gl, 128, false);
        assert_eq!(software, Some(Exchange::OneStep));
        for backend in [vulkan, Backend::Metal, Backend::Dx12] {
            assert_eq!(unprobed(gpu, backend, 256, true), None);
        }
        for (backend, invocations, wanted, why) in [
            (vulkan, 1024, false, "without the probe"),
            (Backend::Gl, 1024, true, "backend is not"),
            (Backend::BrowserWebGpu, 1024, true, "backend is not"),
            (vulkan, 255, true, "fewer than 256"),
        ] {
            let found = unprobed(gpu, backend, invocations, wanted);
            assert!(
                matches!(found, Some(Exchange::Refused(reason)) if reason.contains(why)),
                "{found:?}, want {why}"
            );
        }
    }
}
