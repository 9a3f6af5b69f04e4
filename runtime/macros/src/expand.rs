//! Attribute and function together: what is written out.

use proc_macro2::TokenStream;
use quote::quote;

use crate::function::Function;
use crate::options::Options;

/// Which of the two attributes it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    /// As its user writes it.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Main => "#[hemi::main]",
            Self::Test => "#[hemi::test]",
        }
    }
}

/// The function to write in place of the marked one, or the compile errors.
pub(crate) fn attribute(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let options = Options::parse(kind, arguments);
    let (function, checked) = Function::parse(kind, item.clone());
    match (options, function, checked) {
        (Ok(options), Some(function), Ok(())) => function_that_runs(kind, &options, &function),
        (options, function, checked) => {
            let errors = [options.err(), checked.err()];
            let errors = errors.iter().flatten().map(syn::Error::to_compile_error);
            // Without an item of the name there would be a second error that says nothing new.
            let stand_in = function.map_or(item, |function| stand_in(&function));
            quote!(#(#errors)* #stand_in)
        }
    }
}

fn function_that_runs(kind: Kind, options: &Options, function: &Function) -> TokenStream {
    let returns = function.returns();
    let on_failure = match kind {
        Kind::Main => quote!(::hemi::__macro_support::exit),
        Kind::Test => quote!(::hemi::__macro_support::panic),
    };
    // Which of the two it is depends on the type, and only here, where the type is a concrete one, can the
    // compiler choose: see `__macro_support`.
    let failed = if function.never_returns() {
        quote!(#on_failure(&error))
    } else {
        quote!({
            use ::hemi::__macro_support::{OtherReturn as _, ResultReturn as _};
            (&::hemi::__macro_support::Returns::<#returns>::new()).failed(error, #on_failure)
        })
    };
    let builder = options.builder();
    let run = if options.on_each_core() {
        quote!(::hemi::__macro_support::run_on_each_core(#builder, body))
    } else {
        quote!(#builder.build().map(|runtime| runtime.block_on(body())))
    };

    let (attributes, visibility) = (&function.0.attrs, &function.0.vis);
    let (name, output, block) = (&function.0.sig.ident, &function.0.sig.output, &function.0.block);
    let test = (kind == Kind::Test).then(|| quote!(#[::core::prelude::v1::test]));
    quote! {
        #(#attributes)*
        #test
        #visibility fn #name() #output {
            let body = async || -> #returns #block;
            match #run {
                ::core::result::Result::Ok(returned) => returned,
                ::core::result::Result::Err(error) => #failed,
            }
        }
    }
}

/// A function of the same name that compiles whatever was wrong with the marked one.
fn stand_in(function: &Function) -> TokenStream {
    let (visibility, name) = (&function.0.vis, &function.0.sig.ident);
    quote!(#visibility fn #name() {})
}
