//! The shapes that the schedule `persistent` chooses, and its refusals.

use wgpu_rnn::internals::kernel::persistent::Persistent;
use wgpu_rnn::internals::kernel::uniforms::{Dims, PersistentDims};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{Command, Dispatch};
use wgpu_rnn::internals::plan::{
    Exchange, Plan, Profile, Request, Resident, Target, WeightLayout, plan,
};
use wgpu_rnn::{Config, Error, Schedule};

use crate::{GPU, exchange_of, webgpu, with};

/// The limits of a large GPU.
fn large() -> Limits {
    let limits = wgpu::Limits {
        max_compute_workgroup_storage_size: 49_152,
        max_storage_buffer_binding_size: 1 << 30,
        max_buffer_size: 1 << 30,
        ..wgpu::Limits::defaults()
    };
    Limits::of(&limits, false)
}

fn planned(
    config: &Config,
    sizes: Sizes,
    limits: &Limits,
    exchange: Exchange,
    schedule: Schedule,
) -> Result<Plan, Error> {
    let weights = &WeightLayout::new(config, limits)?;
    let request = Request { config, weights, sizes, training: false };
    let calibration = &Calibration::typical_of(Some(GPU));
    plan(&request, &Profile { limits, calibration, target: Target::Gpu, exchange }, schedule)
}

fn held(plan: &Plan) -> Vec<(&Dispatch, PersistentDims)> {
    plan.recording
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Dispatch(dispatch) => match dispatch.dims {
                Dims::Persistent(dims) => Some((dispatch, dims)),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// On a GPU whose 132 workgroups run at the same time. The best shapes were measured there.
#[test]
fn workgroups_hold_what_was_measured_to_be_fast() {
    // Batch, H, then lanes, quads, units, chunk, rows.
    for (batch, hidden_size, want) in [
        (1, 64, (16, 1, 4, 1, 1)),
        (1, 128, (32, 1, 2, 1, 1)),
        (1, 256, (32, 2, 2, 1, 1)),
        (1, 384, (32, 4, 2, 1, 1)),
        (1, 512, (32, 4, 2, 1, 1)),
        (1, 1024, (32, 8, 1, 1, 1)),
        (8, 256, (32, 2, 2, 1, 1)),
        (8, 512, (32, 4, 2, 2, 2)),
        (8, 1024, (32, 8, 1, 4, 8)),
        (32, 512, (32, 4, 2, 8, 8)),
        (64, 256, (32, 2, 4, 4, 4)),
        (64, 512, (32, 4, 2, 8, 16)),
    ] {
        let config = Config::lstm(hidden_size, hidden_size);
        let sizes = Sizes { seq_len: 100, batch };
        let plan = planned(&config, sizes, &large(), exchange_of(GPU), Schedule::Persistent)
            .unwrap_or_else(|error| panic!("{batch} x {hidden_size}: {error}"));
        let dispatches = held(&plan);
        let (first, dims) = dispatches[0];
        let shape = Persistent::of(&first.overrides);
        let got = (shape.lanes, shape.quads, shape.units, shape.chunk, shape.rows);
        assert_eq!(got, want, "{batch} rows of {hidden_size}: lanes, quads, units, chunk, rows");
        assert!(shape.subgroups && shape.volatile, "{shape:?}");
        assert_eq!(shape.alone, hidden_size == 64, "one workgroup has all of 64 units");
        assert_eq!(dims.steps, 64, "max_steps_per_dispatch");
        assert_eq!(dispatches.len(), 2, "100 steps");
        assert_eq!(plan.turns, 2, "h changes places at each dispatch");
        assert_eq!(plan.recording.flag.is_some(), !shape.alone, "who waits has a flag");
    }
}

/// The order of sums does not depend on the batch, on the exchange or on the limits.
#[test]
fn sums_have_one_order_for_each_hidden_size() {
    for hidden_size in [1, 5, 16, 17, 64, 129, 200, 384, 600, 1024] {
        let config = Config::gru(4, hidden_size);
        let mut orders = Vec::new();
        for batch in [1, 3, 8, 16] {
            for exchange in [exchange_of(GPU), Exchange::OneStep] {
                let sizes = Sizes { seq_len: 5, batch };
                let plan = planned(&config, sizes, &large(), exchange, Schedule::Persistent)
                    .unwrap_or_else(|error| panic!("{batch} x {hidden_size}: {error}"));
                let shape = Persistent::of(&held(&plan)[0].0.overrides);
                orders.push((shape.lanes, shape.quads));
            }
        }
        orders.dedup();
        assert_eq!(orders.len(), 1, "hidden_size {hidden_size}: {orders:?}");
    }
}

/// A dispatch is short where limits ask for it, and one step where nobody may wait.
#[test]
fn dispatches_are_as_long_as_limits_allow() {
    let config = Config::lstm(128, 128);
    let steps = |limits: &Limits, exchange, config: &Config| -> Vec<u32> {
        let sizes = Sizes { seq_len: 10, batch: 2 };
        let plan = planned(config, sizes, limits, exchange, Schedule::Persistent)
            .unwrap_or_else(|error| panic!("{error}"));
        held(&plan).into_iter().map(|(_, dims)| dims.steps).collect()
    };
    let gpu = exchange_of(GPU);
    assert_eq!(steps(&webgpu(), gpu, &config), [10]);
    assert_eq!(steps(&webgpu(), Exchange::OneStep, &config), [1; 10]);
    assert_eq!(steps(&with("max_steps_per_dispatch", 4), gpu, &config), [4, 4, 2]);
    let brief = with("max_work_per_submission", 1 << 20);
    assert_eq!(steps(&brief, gpu, &config), [5, 5], "a projection cuts time first");
    assert_eq!(
        steps(&with("max_loop_iterations", 60_000), gpu, &config),
        [1; 10],
        "no room to wait"
    );
    // A workgroup that owns all units waits for nobody.
    let small = Config::lstm(16, 16);
    assert_eq!(steps(&webgpu(), Exchange::OneStep, &small), [10]);
}

#[test]
fn what_cannot_be_held_is_refused_by_name() {
    let lstm = |hidden_size| Config::lstm(4, hidden_size);
    let few = Exchange::Resident(Resident {
        workgroups: 8,
        subgroup_size: 32,
        volatile: false,
        spins: 1000,
    });
    let gpu = exchange_of(GPU);
    let none = Exchange::Refused("it has not been tried");
    for (config, batch, limits, exchange, why) in [
        (lstm(64).proj_size(8), 1, webgpu(), gpu, "has no projection"),
        (lstm(64), 1, with("max_storage_buffer_binding_size", 8192), gpu, "in one binding"),
        (lstm(64), 1, webgpu(), none, "it has not been tried"),
        (lstm(1025), 1, large(), gpu, "a hidden_size of 1025 is more than the 1024"),
        (lstm(1024).bidirectional(true), 1, large(), gpu, "no room for 1 rows of hidden_size 1024"),
        (lstm(256), 600, large(), few, "no room for 600 rows of hidden_size 256 in 8 workgroups"),
        (
            lstm(64),
            1,
            with("max_compute_invocations_per_workgroup", 255),
            gpu,
            "of 256 invocations",
        ),
        (
            lstm(64),
            1,
            with("max_compute_workgroup_storage_size", 1500),
            gpu,
            "the 1500 bytes of max_compute_workgroup_storage_size",
        ),
        (lstm(64), 1, with("max_loop_iterations", 5), gpu, "max_loop_iterations is 5"),
    ] {
        let sizes = Sizes { seq_len: 4, batch };
        let message = planned(&config, sizes, &limits, exchange, Schedule::Persistent)
            .expect_err("it cannot run")
            .to_string();
        let name = "unsupported: the schedule 'persistent' ";
        assert!(message.starts_with(name) && message.contains(why), "{message}: want {why}");
        match planned(&config, sizes, &limits, exchange, Schedule::Auto) {
            Ok(auto) => assert_ne!(auto.schedule.schedule, Schedule::Persistent, "{message}"),
            // So few iterations are enough for no schedule.
            Err(error) => assert!(
                why.contains("max_loop_iterations") && error.to_string().contains("matvec"),
                "auto always runs: {error}"
            ),
        }
    }
}

/// `auto` takes the schedule on GPUs whose workgroups wait for each other, and nowhere else.
#[test]
fn auto_takes_it_where_workgroups_wait_for_each_other() {
    let sizes = Sizes { seq_len: 100, batch: 1 };
    for hidden_size in [128, 256, 512, 1024] {
        let config = Config::lstm(hidden_size, hidden_size);
        let by = |exchange| {
            let plan = planned(&config, sizes, &large(), exchange, Schedule::Auto);
            plan.unwrap_or_else(|error| panic!("{error}")).schedule
        };
        let decision = by(exchange_of(GPU));
        assert_eq!(decision.schedule, Schedule::Persistent, "{}", decision.reason);
        for exchange in [Exchange::OneStep, Exchange::Refused("not tried")] {
            let decision = by(exchange);
            assert_ne!(decision.schedule, Schedule::Persistent, "{}", decision.reason);
        }
    }
    // Where the budget has no room for the exchange, `auto` runs by another schedule.
    let config = Config::lstm(64, 256);
    let sizes = Sizes { seq_len: 1, batch: 1 };
    let weights = WeightLayout::new(&config, &large()).expect("a small network");
    let mut budget = weights.size() + 64;
    let plans = |budget: u64, schedule| {
        let mut limits = large();
        limits.set("memory_budget", budget).expect("a lower budget");
        planned(&config, sizes, &limits, exchange_of(GPU), schedule)
    };
    while plans(budget, Schedule::Step).is_err() {
        budget += 64;
    }
    let auto = plans(budget, Schedule::Auto).expect("auto always runs").schedule;
    assert_eq!(auto.schedule, Schedule::Step, "{}", auto.reason);
    assert!(auto.reason.contains("the limits have no room for it"), "{}", auto.reason);
    let error = plans(budget, Schedule::Persistent).expect_err("no room").to_string();
    assert!(error.contains("memory_budget"), "{error}");
}
