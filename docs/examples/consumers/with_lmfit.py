"""lmfit: residuals are evaluated on engines."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
import lmfit
import numpy

from IPython.parallel import Client

view = Client().load_balanced_view()


def residual(parameters, x, data):
    return parameters["slope"] * x - data


x = numpy.linspace(0, 1, 20)
parameters = lmfit.create_params(slope={"value": 1, "min": 0, "max": 4, "brute_step": 0.5})
fit = lmfit.Minimizer(residual, parameters, fcn_args=(x, 2.5 * x)).minimize("brute", workers=view.map)
print(float(fit.params["slope"].value))  # 2.5
