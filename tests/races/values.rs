//! Arithmetic of WGSL on words: scalars of every kind are their 32 bits, and a bool is 0 or 1.

use naga::{BinaryOperator as Binary, MathFunction as Math, ScalarKind as Kind, UnaryOperator};

fn f(word: u32) -> f32 {
    f32::from_bits(word)
}

/// The function of one operator on two words; `None` where no kernel needs it.
pub fn binary(op: Binary, kind: Kind) -> Option<fn(u32, u32) -> u32> {
    Some(match (op, kind) {
        (Binary::Add, Kind::Float) => |a, b| (f(a) + f(b)).to_bits(),
        (Binary::Subtract, Kind::Float) => |a, b| (f(a) - f(b)).to_bits(),
        (Binary::Multiply, Kind::Float) => |a, b| (f(a) * f(b)).to_bits(),
        (Binary::Divide, Kind::Float) => |a, b| (f(a) / f(b)).to_bits(),
        (Binary::Add, _) => u32::wrapping_add,
        (Binary::Subtract, _) => u32::wrapping_sub,
        (Binary::Multiply, _) => u32::wrapping_mul,
        // WGSL defines x / 0 as x, and x % 0 as 0.
        (Binary::Divide, Kind::Uint) => |a, b| a.checked_div(b).unwrap_or(a),
        (Binary::Modulo, Kind::Uint) => |a, b| a.checked_rem(b).unwrap_or(0),
        (Binary::Equal, Kind::Float) => |a, b| (f(a) == f(b)).into(),
        (Binary::NotEqual, Kind::Float) => |a, b| (f(a) != f(b)).into(),
        (Binary::Less, Kind::Float) => |a, b| (f(a) < f(b)).into(),
        (Binary::LessEqual, Kind::Float) => |a, b| (f(a) <= f(b)).into(),
        (Binary::Greater, Kind::Float) => |a, b| (f(a) > f(b)).into(),
        (Binary::GreaterEqual, Kind::Float) => |a, b| (f(a) >= f(b)).into(),
        (Binary::Equal, _) => |a, b| (a == b).into(),
        (Binary::NotEqual, _) => |a, b| (a != b).into(),
        (Binary::Less, Kind::Uint) => |a, b| (a < b).into(),
        (Binary::LessEqual, Kind::Uint) => |a, b| (a <= b).into(),
        (Binary::Greater, Kind::Uint) => |a, b| (a > b).into(),
        (Binary::GreaterEqual, Kind::Uint) => |a, b| (a >= b).into(),
        (Binary::And | Binary::LogicalAnd, _) => |a, b| a & b,
        (Binary::InclusiveOr | Binary::LogicalOr, _) => |a, b| a | b,
        (Binary::ExclusiveOr, _) => |a, b| a ^ b,
        (Binary::ShiftLeft, _) => u32::wrapping_shl,
        (Binary::ShiftRight, Kind::Uint) => u32::wrapping_shr,
        (Binary::ShiftRight, Kind::Sint) => |a, b| (a as i32).wrapping_shr(b) as u32,
        _ => return None,
    })
}

/// The function of an operator on one word.
pub fn unary(op: UnaryOperator, kind: Kind) -> fn(u32) -> u32 {
    match (op, kind) {
        (UnaryOperator::Negate, Kind::Float) => |a| (-f(a)).to_bits(),
        (UnaryOperator::Negate, _) => u32::wrapping_neg,
        (UnaryOperator::LogicalNot, _) => |a| a ^ 1,
        (UnaryOperator::BitwiseNot, _) => |a| !a,
    }
}

/// The function of up to three words; `None` where no kernel needs it.
pub fn math(fun: Math, kind: Kind) -> Option<fn([u32; 3]) -> u32> {
    Some(match (fun, kind) {
        (Math::Abs, Kind::Float) => |[a, ..]| f(a).abs().to_bits(),
        (Math::Sqrt, Kind::Float) => |[a, ..]| f(a).sqrt().to_bits(),
        (Math::Exp, Kind::Float) => |[a, ..]| f(a).exp().to_bits(),
        (Math::Fma, Kind::Float) => |[a, b, c]| f(a).mul_add(f(b), f(c)).to_bits(),
        (Math::Min, Kind::Float) => |[a, b, _]| f(a).min(f(b)).to_bits(),
        (Math::Max, Kind::Float) => |[a, b, _]| f(a).max(f(b)).to_bits(),
        (Math::Min, Kind::Uint) => |[a, b, _]| a.min(b),
        (Math::Max, Kind::Uint) => |[a, b, _]| a.max(b),
        (Math::Clamp, Kind::Uint) => |[a, b, c]| a.max(b).min(c),
        _ => return None,
    })
}

/// The function that converts between kinds, or keeps the bits; `None` where no kernel needs it.
pub fn conversion(from: Kind, to: Kind, keeps_bits: bool) -> Option<fn(u32) -> u32> {
    Some(match (from, to) {
        _ if keeps_bits => |a| a,
        (Kind::Uint, Kind::Float) => |a| (a as f32).to_bits(),
        (Kind::Sint, Kind::Float) => |a| (a as i32 as f32).to_bits(),
        (Kind::Float, Kind::Uint) => |a| f(a) as u32,
        (Kind::Bool, Kind::Float) => |a| (a as f32).to_bits(),
        (Kind::Uint | Kind::Sint | Kind::Bool, Kind::Uint | Kind::Sint) => |a| a,
        (from, to) if from == to => |a| a,
        _ => return None,
    })
}
