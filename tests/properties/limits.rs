//! Lowered limits change how the work is cut, and no result.

use std::cell::Cell;

use proptest::prelude::*;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::plan::WeightLayout;
use wgpu_rnn::{Config, Device, Error, Kind, Rnn};

use crate::bits::assert_same;
use crate::case::{Case, cases, check};

fn lowered(limits: &[(&str, u64)]) -> Device {
    let options = limits
        .iter()
        .fold(OpenOptions::default(), |options, (name, value)| options.limit(name, *value));
    Device::cpu_with(&options).expect("limits below those of the host")
}

/// Time, units or rows in pieces give the results of the whole; or the error names a limit.
#[test]
fn lowered_limits_change_nothing_but_how_the_work_is_cut() {
    let limits = (8..15_u32, 13..20_u32, any::<bool>()).prop_map(|(binding, budget, cap)| {
        [
            ("max_storage_buffer_binding_size", 3 << binding),
            ("memory_budget", 3 << budget),
            ("max_work_per_submission", if cap { 5_000 } else { 50_000_000_000 }),
        ]
    });
    let [segments, passes, refusals] = [const { Cell::new(0) }; 3];
    check((cases(), limits), |(case, limits)| {
        let name = format!("{limits:?}");
        let device = lowered(&limits);
        let known = |error: Error| match error {
            Error::Limit { limit, .. } if limits.iter().any(|(name, _)| *name == limit) => {
                refusals.set(refusals.get() + 1)
            }
            other => panic!("{name}: {other}"),
        };
        let rnn = match Rnn::new(&device, &case.params()) {
            Ok(rnn) => rnn,
            Err(error) => return known(error),
        };
        match (
            rnn.forward(&case.input(), case.initial().as_ref()),
            rnn.plan(case.seq_len, case.batch),
        ) {
            (Ok(got), Ok(plan)) => {
                assert_same(&name, &got, &case.forward());
                segments.set(segments.get() + usize::from(plan.segments.len() > 1));
                passes.set(passes.get() + usize::from(plan.sizes.batch < case.batch));
            }
            (Err(error), Err(_)) => known(error),
            (got, plan) => {
                panic!("{name}: forward gives {:?}, plan gives {:?}", got.map(drop), plan.map(drop))
            }
        }
    });
    let counts = [segments.get(), passes.get(), refusals.get()];
    assert!(counts.iter().all(|&count| count > 5), "segments, passes, refusals: {counts:?}");
}

/// One lowered limit at a time, and each kind of cut is met.
#[test]
fn segments_shards_and_passes_change_no_bit() {
    for (kind, proj_size) in Kind::ALL.iter().map(|&kind| (kind, 0)).chain([(Kind::Lstm, 88)]) {
        let config =
            Config::new(kind, 24, 96).num_layers(2).bidirectional(true).proj_size(proj_size);
        let state_size = config.state_size();
        let case = Case { config, seq_len: 23, batch: 24, gain: 1.0, state: true, seed: 11 };
        let (params, want) = (case.params(), case.forward());
        // Runs under one lowered limit and compares. Returns segments, shards of the second layer
        // and passes.
        let cuts = |name: &str, value: u64| {
            let rnn = Rnn::new(&lowered(&[(name, value)]), &params).expect("the weights fit");
            let got = rnn.forward(&case.input(), case.initial().as_ref()).expect("the work fits");
            let plan = rnn.plan(case.seq_len, case.batch).expect("it was just planned");
            let layout =
                WeightLayout::new(&case.config, rnn.device().limits()).expect("the weights fit");
            let cuts =
                (plan.segments.len(), layout.layer(1).len(), case.batch.div_ceil(plan.sizes.batch));
            assert_same(
                &format!("{kind}, {name} {value}, {cuts:?} segments, shards and passes"),
                &got,
                &want,
            );
            cuts
        };
        let whole =
            Rnn::new(&Device::cpu(), &params).and_then(|rnn| rnn.plan(case.seq_len, case.batch));
        let whole = whole.expect("nothing is lowered").size();
        let gate_size = (2 * kind.gate_count() * 4) as u64; // both directions, in bytes
        // A time step's projection, and the weights of a third of the second layer's units.
        let (step, units) = (gate_size * 96 * 24, gate_size * 32 * 2 * state_size as u64);
        let binding = "max_storage_buffer_binding_size";
        let (segments, shards, passes) = cuts(binding, 12 * step);
        assert!(
            segments > 1 && shards == 1 && passes == 1,
            "{kind}: time alone is cut, {segments} segments"
        );
        let (_, shards, passes) = cuts(binding, units);
        assert!(shards == 3 && passes == 1, "{kind}: units are cut, {shards} shards");
        let (segments, ..) = cuts("memory_budget", whole - step);
        assert!(segments > 1, "{kind}: a budget cuts time first");
        let passes = (1..20)
            .map(|i| cuts("memory_budget", whole - whole * i / 40).2)
            .find(|&passes| passes > 1);
        assert!(passes.is_some(), "{kind}: and then the batch");
    }
}
