//! Weights stored as f16 give the same bits as f32 weights rounded to f16.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::compare::Tolerance;
use wgpu_rnn::internals::diagnostics::lockstep::lockstep;
use wgpu_rnn::{Config, Error, Kind, LoadOptions, Params, Rnn, WeightType};

use crate::bits::{alike, states_alike};
use crate::{Target, ensure, seeded};

/// Returns parameters with weights rounded to f16 and with unchanged biases.
fn rounded(params: &Params) -> Result<Params, Failed> {
    let mut values = params.values();
    let round = |name: &str, values: &[f32]| match name.contains("bias") {
        true => values.to_vec(),
        false => values.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect(),
    };
    Ok(Params::from_fn(params.config(), |name, _| {
        Ok(round(name, values.next().unwrap_or_default()))
    })?)
}

pub fn rounded_weights(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let small =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 16_384))?;
    let f16 = target.options().weights(WeightType::F16);
    for (kind, proj_size) in Kind::ALL.iter().map(|&kind| (kind, 0)).chain([(Kind::Lstm, 7)]) {
        for (input_size, hidden_size, batch, bidirectional) in
            [(3, 13, 1, true), (9, 65, 5, false), (33, 40, 17, true)]
        {
            if proj_size > 0 && !target.projects() {
                continue;
            }
            let config = Config::new(kind, input_size, hidden_size)
                .num_layers(2)
                .bidirectional(bidirectional);
            let params = Params::init(&config.proj_size(proj_size), 3)?;
            let input = seeded::tensor(4, &[6, batch, input_size], 1.0);
            let (want, want_state) =
                Rnn::with_options(&device, &rounded(&params)?, &target.options())?
                    .forward(&input, None)?;
            for device in [&device, &small] {
                let rnn = Rnn::with_options(device, &params, &f16)?;
                let (output, state) = rnn.forward(&input, None)?;
                let what = format!("{kind} {input_size} {hidden_size} {batch}");
                ensure(
                    alike(&output, &want) && states_alike(&state, &want_state),
                    format!("{what}: as rounded"),
                )?;
            }
            let (exact, _) =
                Rnn::with_options(&device, &params, &target.options())?.forward(&input, None)?;
            ensure(!alike(&exact, &want), "rounding shows")?;
        }
    }
    Ok(())
}

/// Values beyond f16 are refused by the tensor's name. Infinities and NaN are stored unchanged.
pub fn values_beyond(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let params = |value: f32| {
        Params::from_fn(&Config::gru(2, 3), |name, shape| {
            let count = shape.iter().product();
            Ok(vec![
                if name == "weight_hh_l0" || name.starts_with("bias") { value } else { 0.5 };
                count
            ])
        })
    };
    let f16 = LoadOptions::new().weights(WeightType::F16);
    let refused = Rnn::with_options(&device, &params(70_000.0)?, &f16);
    let names = |message: &str| {
        message.contains("65504") && message.contains("weight_hh_l0") && !message.contains("bias")
    };
    let named = matches!(&refused, Err(Error::Option(message)) if names(message));
    ensure(named, format!("{refused:?}"))?;
    for value in [65_504.0, f32::INFINITY, f32::NAN] {
        Rnn::with_options(&device, &params(value)?, &f16)?;
    }
    Ok(())
}

/// The kernels that widen weights, against their twins.
pub fn kernels(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let params = Params::init(&Config::new(kind, 5, 37).num_layers(2).bidirectional(true), 5)?;
        let input = seeded::tensor(6, &[3, 4, 5], 1.0);
        let options = target.options().weights(WeightType::F16);
        let reports = lockstep(&device, &params, &input, None, None, Tolerance::F32, &options)?;
        for report in &reports {
            ensure(
                report.kernel.ends_with("_f16") && report.agrees() && report.count > 0,
                format!("{report:?}"),
            )?;
        }
        ensure(!reports.is_empty(), "kernels were compared")?;
    }
    Ok(())
}
